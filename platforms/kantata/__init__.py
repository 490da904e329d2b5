"""Kantata OX (formerly Mavenlink): the professional-services platform, its client and its sandbox."""
