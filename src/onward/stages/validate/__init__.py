"""The validate room."""
