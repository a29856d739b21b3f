"""dataframely."""
