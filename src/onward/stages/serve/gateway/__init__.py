"""The gateway: a process of its own, and the hot path.

An `asyncio.Protocol` on uvloop (`http.py`), what is answered by path (`endpoints.py`), one model
call per turn of the event loop for all rows that arrived in it (`tick.py`), one write to the log
per turn, before the answers leave. `process.py` starts it, `__main__.py` is its beginning and end.
"""
