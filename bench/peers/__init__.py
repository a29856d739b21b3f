"""Contestants: a folder each, a file in it per benchmark, ours among them under the same clock.

A folder with a ``pins.txt`` is run in an environment of its own, ``.venv-peers/<folder>``, which
`make bench-peers` installs; one without is run in ours. `bench._entrant` says what a file holds.
"""
