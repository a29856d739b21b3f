"""What is answered, by path: `endpoints.py` holds the table.

Rows and tensors (`calls.py`), MLflow's protocol (`invocations.py`), explanations (`explain.py`, by
`explaining.py`), feedback, versions asked for by number (`asked.py`), and the description of it all
(`openapi.py`). What would hold up the loop is done beside it (`aside.py`).
"""
