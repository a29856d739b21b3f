"""Lineage in the forms that others read."""
