"""Feast."""
