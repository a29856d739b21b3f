"""The lake: versioned tables with audit branches, as Apache Iceberg on local files.

Takes Arrow rows and a summary of strings that commits with them. Gives snapshots that never
change, and an Ibis connection in which a published snapshot, or a batch under audit, is a table.
Refuses to publish a branch when main has moved on, rows that do not fit a table's columns, and
stored state that it cannot read.

`iceberg` implements the port; `commit` writes and races, `columns` decides what fits, `views`
reads through DuckDB, `upsert` merges rows by key, `compact` rewrites small files, `durable` makes
bytes reach the disk before the catalog names them. These modules import PyIceberg: import them
where a lake is opened.
"""
