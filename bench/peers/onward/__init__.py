"""Ours: the rooms' own verbs, as the flow calls them."""
