"""Adapters of the deploying room's ports."""
