"""Releases: what users declare of them (`config.py`), and what decides them.

`decision.py` hands a strategy to its judge (`canary.py`, `abtest.py`, `bluegreen.py`, `shadow.py`). All
take what was `observed.py`, check the assignment (`ratio.py`), and read `guardrails.py` from the
confidence sequences of `sequences.py`; `simulate.py` shows how often that errs.
"""
