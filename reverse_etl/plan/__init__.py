"""Desired against known -> changes. Pure: reads a snapshot and the journal, writes nothing."""
