"""Decides what to write, and remembers what was written."""
