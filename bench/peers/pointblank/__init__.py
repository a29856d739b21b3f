"""pointblank on Polars."""
