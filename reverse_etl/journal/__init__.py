"""The outbox: every intended write, its attempts and receipts, and what is known to be on the platforms."""
