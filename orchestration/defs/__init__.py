"""Everything Dagster loads, one folder per floor; factories loop over registries, never a list kept by hand."""
