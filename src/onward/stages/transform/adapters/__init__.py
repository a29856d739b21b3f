"""Adapters of the transform room."""
