"""A socket that echoes."""
