"""From rows as they come to the arms that get them.

`rows.py` decodes and checks, `masking.py` masks, `live.py` says which arm a unit gets, and a
`job.py` is a request under way. `versions.py` keeps in memory what routes need, and what has room.
"""
