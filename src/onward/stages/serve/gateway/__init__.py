"""The gateway: a process of its own, or several on one port, and the hot path.

A request goes up through these rooms, each of which imports those below it alone:

- `process/`: workers, started by way of `__main__.py`, supervised and ended
- `rpc/`: the Open Inference Protocol over gRPC
- `handlers/`: what is answered, by path; `shadow/`: what is answered once more, by another process
- `turn/`: one turn of the event loop: all that arrived in it is predicted, logged, answered
- `admission/`: what is let in; `features/`: what the online store has; `telemetry/`: what is told
- `routing/`: rows as they come, and the arm that each goes to
- `protocol/`: sockets, TLS, HTTP, and what bodies are written in
- `models/`: versions as they are loaded and called; `metrics/`: what is counted, by all workers

All know `settings.py`, which says what a gateway is told at its start, with its `limits.py`.
"""
