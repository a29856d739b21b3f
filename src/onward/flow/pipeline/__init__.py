"""What a user's file declares: put together, resolved, and checked.

`declared.py` is the pipeline as it is written. `definition.py` resolves every name in it;
`graph.py` says what reads what, and `select.py` picks from that. `fit.py` holds it against the
data.
"""
