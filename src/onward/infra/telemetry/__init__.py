"""Traces sent to who gathers them."""
