"""The compute room."""
