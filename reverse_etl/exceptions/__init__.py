"""What only a person can decide, and the record of the decision."""
