"""A simulated professional-services firm that lives in the sandboxes."""
