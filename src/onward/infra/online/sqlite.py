"""The online store port on SQLite: a blob per view version and entity, in one WAL file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock

from onward.core.errors import CorruptError
from onward.core.ports import Entity, Lookup, OnlineRow
from onward.core.records import Materialized, ViewPlan
from onward.infra.database.sqlite import meaning
from onward.infra.online.rows import decode, encoded, key, keys, mark_text, read_mark

if TYPE_CHECKING:
    import pyarrow as pa

_BUSY_S: Final = 30.0
_AT_ONCE: Final = 10_000  # entities per query: SQLite takes up to 32,766 parameters

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS views (
  id INTEGER PRIMARY KEY, ref TEXT NOT NULL UNIQUE, mark TEXT
);
CREATE TABLE IF NOT EXISTS features (
  view INTEGER NOT NULL, entity BLOB NOT NULL, ts INTEGER NOT NULL, row BLOB NOT NULL,
  PRIMARY KEY (view, entity)
) WITHOUT ROWID;
"""
_UPSERT: Final = (
    "INSERT INTO features (view, entity, ts, row) VALUES (?, ?, ?, ?) ON CONFLICT (view, entity)"
    " DO UPDATE SET ts = excluded.ts, row = excluded.row WHERE excluded.ts >= ts"
)


def open_store(path: str) -> SqliteOnlineStore:
    """Open the store in the file `path`, or create it.

    Raises
    ------
    CorruptError
        The file is no online store.
    """
    return SqliteOnlineStore(path)


class SqliteOnlineStore:
    """Feature rows keyed by (view version, entity); ``ts`` is the event time in microseconds.

    One process writes while others read; a reader sees whole writes only.
    """

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(
            path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._known: dict[str, int] = {}
        try:
            # SQLite does not wait its turn to turn WAL on: processes that open a new file do.
            with FileLock(f"{path}.lock", timeout=_BUSY_S):
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.executescript(_SCHEMA)
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA secure_delete = ON")  # what is removed is gone from the file
        except sqlite3.DatabaseError as error:
            self._db.close()
            told = meaning(error, Path(path))
            if told is not None and not isinstance(told, CorruptError):
                raise told from error  # a full disk, for one: the file is as good as it was
            raise CorruptError(
                f"{path} is no online store: {error}",
                next_step="move the file away; the next `onward run` fills a new one",
            ) from error

    @property
    def remote(self) -> bool:
        return False

    # ------------------------------------------------------------ writing

    def write(self, view: ViewPlan, rows: pa.Table, *, mark: Materialized | None = None) -> int:
        with self._transaction():
            before = self._db.total_changes
            self._db.execute(
                "INSERT INTO views (ref) VALUES (?) ON CONFLICT DO NOTHING", (view.ref,)
            )
            number = self._number(view)
            overhead = self._db.total_changes - before
            self._db.executemany(_UPSERT, ((number, *row) for row in encoded(view, rows)))
            newer = self._db.total_changes - before - overhead
            if mark is not None:
                self._db.execute(
                    "UPDATE views SET mark = ? WHERE id = ?", (mark_text(mark), number)
                )
        return newer

    def mark(self, view: ViewPlan) -> Materialized | None:
        found = self._db.execute("SELECT mark FROM views WHERE ref = ?", (view.ref,)).fetchone()
        return read_mark(found[0]) if found else None

    def remove(self, view: ViewPlan, entities: Sequence[Entity]) -> int:
        number = self._number(view)
        before = self._db.total_changes
        with self._transaction():
            self._db.executemany(
                "DELETE FROM features WHERE view = ? AND entity = ?",
                ((number, key(entity)) for entity in entities),
            )
        removed = self._db.total_changes - before
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # and from the log beside it
        return removed

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # ------------------------------------------------------------ reading

    def read(self, lookups: Sequence[Lookup]) -> Sequence[Sequence[OnlineRow | None]]:
        found: list[Sequence[OnlineRow | None]] = []
        for view, entities in lookups:  # plainly: this is the gateway's path
            number = self._known.get(view.table) or self._learned(view)
            if number is None:
                found.append([None] * len(entities))
            elif len(entities) == 1:
                one = self._db.execute(_ONE, (number, key(entities[0]))).fetchone()
                found.append([decode(one[0]) if one else None])
            else:
                found.append(self._read(number, keys(entities)))
        return found

    def _read(self, number: int, asked: Sequence[bytes]) -> Sequence[OnlineRow | None]:
        rows: dict[bytes, OnlineRow] = {}
        for start in range(0, len(asked), _AT_ONCE):
            part = asked[start : start + _AT_ONCE]
            for entity, row in self._db.execute(_many(len(part)), (number, *part)):
                rows[entity] = decode(row)
        return list(map(rows.get, asked))

    def _learned(self, view: ViewPlan) -> int | None:
        number = self._number(view)
        if number is not None:
            self._known[view.table] = number
        return number

    def close(self) -> None:
        self._db.close()

    def _number(self, view: ViewPlan) -> int | None:
        """Return a view's id, or None before its first row."""
        found = self._db.execute("SELECT id FROM views WHERE ref = ?", (view.ref,)).fetchone()
        return found[0] if found else None


_ONE: Final = "SELECT row FROM features WHERE view = ? AND entity = ?"


@lru_cache(maxsize=256)
def _many(count: int) -> str:
    """Return the one query that reads `count` entities of a view."""
    places = ", ".join("?" * count)
    return f"SELECT entity, row FROM features WHERE view = ? AND entity IN ({places})"  # noqa: S608 (only placeholders)
