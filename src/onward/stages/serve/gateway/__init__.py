"""The gateway: a process of its own, or several on one port, and the hot path.

An `asyncio.Protocol` on uvloop (`http.py`), what is let in (`admission.py`), what is answered by
path (`endpoints.py`), one model call per turn of the event loop for all rows that arrived in it
(`tick.py`), one write to the log per turn, before the answers leave. `process.py` starts it,
`worker.py` is a process's beginning and end, `supervisor.py` keeps several, `fleet.py` lets each
answer for all.
"""
