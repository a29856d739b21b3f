"""Serve (stage 10): production traffic, what was answered, and whether a release goes on.

Takes images and the routes file that says which share of units each one gets. Gives answers over
the Open Inference Protocol v2 and a plain ``predict`` route, a durable record of every one of
them, and decisions about a release under way.

- The gateway (`gateway/`) is a process of its own. It is the hot path, and written for speed.
- The prediction log (`log/`) is framed and checksummed; a prediction's id is its address.
  `step.fold` takes it into the lake.
- Routes (`routes.py`) are one small file per model, replaced atomically; the gateway loads and
  warms a new image before it switches, and keeps the old one where the new one is corrupt.
- Releases (`release/`): the strategies that users declare, a judge for each, and the anytime-valid
  statistics that they share. A shadow (`gateway/shadow/`) follows the log in its own process.

Refuses: rows that do not fit the model's request (the caller learns which column, and why),
images whose blobs do not match their digests, routes that do not parse, and, unless told
otherwise, to answer what it cannot log.
"""
