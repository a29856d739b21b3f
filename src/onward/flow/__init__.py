"""The order of the stages, gates and resume; the release loop; the watch loop.

Each room imports those below it alone:

- `keeping/`: what stays, and what goes
- `run/`: a run from new data to a released model, and the loop that asks for runs
- `model/`: a model, from training set to registered version
- `data/`: sources, tables and feature views, brought up to date
- `release/`: who serves, what was predicted, what came true of it, and what follows
- `pipeline/`: what a user's file declares, resolved

All know the `site.py` that they work on, and tell the ledger what `happened.py`.
"""
