"""A gateway's processes: started, supervised, renewed, ended.

`local.py` starts a gateway and knows its address. `worker.py` is a process's beginning and end; it
follows the routes (`follower.py`). `supervisor.py` keeps several, each in its `place.py`; one
alone has a `watchdog.py`. In `embedded.py` another server listens, and a worker answers.
"""
