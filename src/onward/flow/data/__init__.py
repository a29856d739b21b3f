"""Data: in, audited, derived, and kept up to date.

`stages.py` goes through stages 1 to 4 in order: sources (`ingest.py`, or `follow.py` for as long as
they go on), tables (`transforms.py`), feature views (`features.py`, `windows.py`). `audits.py` says
what rows are held against, `quarantine.py` judges the held again, and `tombstones.py` keeps erased
subjects out. `figures.py` tells each table's past.
"""
