"""Shadows: a version that answers what the champion has answered, and that nobody waits for.

`process.py` is the shadow's own process, which reads the prediction log, and stands back when
others want the processor (`contention.py`); `keeper.py` starts it.
"""
