"""What stays, and what goes.

Snapshots (`retention.py`), small files (`upkeep.py`) and images (`images.py`) that nobody needs;
and a subject's rows, wherever they are (`erase.py`).
"""
