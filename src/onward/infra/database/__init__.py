"""The database: SQLite, opened so that what was committed survives a power cut.

Takes a path, gives a SQLAlchemy engine whose connections write ahead (WAL), sync fully, wait for
each other, and begin every write transaction as a writer. Refuses a file that is no database with
`CorruptError`; a full or read-only disk comes out as an `OnwardError` that names the file.
"""

from onward.infra.database.sqlite import open_database

__all__ = ["open_database"]
