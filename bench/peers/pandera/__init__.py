"""Pandera on Polars."""
