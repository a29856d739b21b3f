"""A run, and the loop that asks for runs.

`deliver.py` is once round, from new data to a released version. The ledger knows which runs there
were (`runs.py`), which are asked for (`requests.py`), and which nobody wants any more
(`cancel.py`). `loop.py` is one turn of the loop. In it `watch.py` makes of a window of production a
report, and of that a verdict on retraining; `skew.py` and `reference.py` compute for it.
"""
