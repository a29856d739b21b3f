"""What workers count, and how one of them answers for all.

`counters.py` counts, `exposition.py` writes that for Prometheus. What each worker has counted, and
how it stands, it tells on the `board.py`; `fleet.py` reads there what the others have told. How far
a shadow is, its own process writes down (`progress.py`).
"""
