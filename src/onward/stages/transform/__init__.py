"""Transform: tables derived from others, rebuilt when what they read or their code changes.

Takes declared transforms (Ibis functions or SQL files) and published datasets; gives a `Batch` on
an audit branch that replaces the derived table when its audit passes, or None where the published
table already comes from exactly these snapshots by this code.

Refuses a table that nothing declares, transforms that read each other in a circle, SQL that is
not one query, and a function that raises or returns no table.
"""
