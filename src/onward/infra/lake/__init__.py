"""The lake: versioned tables with audit branches, as Apache Iceberg on local files.

Takes Arrow rows, a summary of strings that says what a commit did, and state: strings that hold
for the table until a commit changes them. Gives snapshots that never change, and an Ibis
connection in which a snapshot, a batch under audit, or what a table gained between two snapshots
is a table. Refuses to publish a branch when main's rows have changed, rows that do not fit a
table's columns, and stored state that it cannot read.

`iceberg` implements the port. `commit` writes and races, `publication` makes a branch main,
`columns` decides what fits, `upsert` merges rows by key, `snapshots` is what a commit says of
itself; `views` reads through DuckDB, `deltas` tells what was added. `compact` rewrites small
files, `expire` lets old snapshots go, `erase` takes rows out of all of them, `files` knows and
removes what lies on the disk. `durable` makes bytes reach it before the catalog names them. These
modules import PyIceberg: import them where a lake is opened.
"""
