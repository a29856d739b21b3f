"""Transform: tables derived from others, rebuilt when what they read or their code changes.

Takes declared transforms (Ibis functions, SQL files, Python on Arrow, dbt projects) and published
datasets; gives a `Batch` on an audit branch that replaces the derived table when its audit passes,
or None where the published table already comes from exactly these snapshots by this code. A
transform that says how it may be built in parts gives a batch that replaces some partitions, or
adds rows.

Refuses a table that nothing declares, transforms that read each other in a circle, SQL that is
not one query, a function that raises or returns no table, and a build in parts that would not equal
a whole one.
"""
