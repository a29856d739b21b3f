"""Rules: what checks become, once bound to a batch.

`rule.py` says what a rule is, and `bind.py` makes rules of checks. Beside plain expressions there
are rules on columns, keys and aggregates (`columns.py`, `keys.py`, `measured.py`), on what another
table adds up to (`reconciliation.py`), on how a column has moved (`distribution.py`), and in Python
(`python.py`). `values.py` has tests by name, for rules that are translated from elsewhere.
"""
