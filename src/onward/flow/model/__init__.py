"""A model: from training set to registered version, and past a whole table.

`stages.py` goes through stages 5 to 8 in order; `experiment.py` is the search alone, `masked.py`
says which columns come masked. `score.py` sends a table's rows past a version.
"""
