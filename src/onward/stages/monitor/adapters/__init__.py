"""Who hears of a breach."""
