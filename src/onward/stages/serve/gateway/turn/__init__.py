"""One turn of the event loop: all that arrived in it is answered together.

`tick.py` gathers, asks for features, has each arm's model called once (`predict.py`), the log
written (`recorder.py`), and answers. What must wait for the disk, waits in `held.py`.
"""
