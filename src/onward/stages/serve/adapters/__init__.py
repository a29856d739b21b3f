"""Servers of others that the gateway answers in."""
