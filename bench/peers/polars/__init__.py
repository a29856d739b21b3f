"""Polars by hand."""
