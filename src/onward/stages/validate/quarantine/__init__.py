"""The quarantine: rows that broke a rule, and what became of them.

`table.py` writes and reads its tables, with where a row stood in its source (`positions.py`).
`selection.py` says which rows are meant, and exports them; `mending.py` lays a corrected file over
them; `replay.py` judges them again, in the columns of today (`replayed_rows.py`).
"""
