"""Twelve rooms, in the order of the flow."""
