"""Releases: who serves, what was predicted, what came true of it, and what follows.

`loop.py` takes a version step by step through its strategies: an image of it (`image.py`), routes
(`routing.py`, `serving.py`), a judgement (`judge.py`). It judges by production as tables
(`observe.py`, `truth.py`, `loss.py`, `feedback.py`, `replay.py`). A person may act as well
(`steer.py`, `approval.py`). The past is the ledger's: `releases.py`, `versions.py`.
"""
