"""Ingest: new rows from a source, onto an audit branch, each exactly once.

Takes a declared `Source` and the lake; gives a `Batch` on branch ``audit-<run>`` of
``raw.<source>``, or None where there is nothing new. What has been read is kept in the
published table's state, so the cursor commits with the rows: a crash anywhere followed by
another run neither loses nor doubles a row. What an origin shows again (`overlap.py`), because rows
may be committed late, is left out where the table or its quarantine holds that version of the row.

Every value is read as its column's type, which the first batch settles and the published schema
keeps: int64, double, bool, string, date, time, binary, and timestamps in UTC with microseconds (a
naive time is read as UTC; decimals become doubles, nested values JSON text). Rows with a value
that cannot be read so are staged apart, with the text as it came, for the audit to quarantine.

Origins are read through `port.py`: files here or behind a URL, PostgreSQL, SQLite, Kafka, REST,
any source of dlt, and what other packages bring. A password in a declaration is filled in for the
driver alone.

The first batch's columns are a contract (`contract`). Refuses, with nothing changed: a file that
changed after it was read, a file that is no valid CSV, Parquet or JSON, columns that came, went or
changed their type unless the source lets them, a key, event time or availability
time that the data does not have.
"""
