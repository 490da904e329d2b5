"""Ground floor: one room per vendor, each speaking that vendor's HTTP API."""
