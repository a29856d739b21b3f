"""Readers of origins: files, SQL tables. Each implements `Reader` and is chosen in `app`."""
