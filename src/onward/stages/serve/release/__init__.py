"""Releases: what users declare of them (`config.py`), and what decides them.

`decision.py` hands a strategy to its judge: `canary.py`, `abtest.py`, `bluegreen.py`, `shadow.py`.
A judge takes what was `observed.py`, has the assignment checked by `ratio.py`, and reads
`guardrails.py`, which are confidence sequences (`sequences.py`); `simulate.py` shows how often
they err.
"""
