"""Reads the platforms into the warehouse; dlt lives here and nowhere else."""
