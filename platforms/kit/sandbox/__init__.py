"""What every sandbox shares: a store on disk, a clock, faults, limits, HTTP and TLS servers."""
