"""dlt sources, one module per platform."""
