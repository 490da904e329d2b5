"""Top floor: Dagster and the command line live here and nowhere else."""
