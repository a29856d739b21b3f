"""Embedded and production forms of what the rooms stand on."""
