"""Registries that serve the port `ModelRegistry`."""
