"""The online room."""
