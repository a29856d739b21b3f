"""The online store port on SQLite: a blob per view version and entity, in one WAL file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from filelock import FileLock

from onward.core.errors import CorruptError
from onward.core.records import ViewPlan

if TYPE_CHECKING:
    import pyarrow as pa

_BUSY_S: Final = 30.0
_AT_ONCE: Final = 10_000  # entities per query: SQLite takes up to 32,766 parameters
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FOR_EVER: Final = 2**62  # microseconds

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

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Any, ...]).decode


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
        self._known: dict[str, tuple[int, int]] = {}
        try:
            # SQLite does not wait its turn to turn WAL on: processes that open a new file do.
            with FileLock(f"{path}.lock", timeout=_BUSY_S):
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.executescript(_SCHEMA)
            self._db.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise CorruptError(
                f"{path} is no online store: {error}",
                next_step="move the file away; the next `onward run` fills a new one",
            ) from error

    # ------------------------------------------------------------ writing

    def write(self, view: ViewPlan, rows: pa.Table, *, mark: str | None = None) -> int:
        before = self._db.total_changes
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute(
                "INSERT INTO views (ref) VALUES (?) ON CONFLICT DO NOTHING", (view.ref,)
            )
            (number,) = self._db.execute(
                "SELECT id FROM views WHERE ref = ?", (view.ref,)
            ).fetchone()
            overhead = self._db.total_changes - before
            self._db.executemany(_UPSERT, _stored(number, view, rows))
            newer = self._db.total_changes - before - overhead
            if mark is not None:
                self._db.execute("UPDATE views SET mark = ? WHERE id = ?", (mark, number))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return newer

    def mark(self, view: ViewPlan) -> str | None:
        found = self._db.execute("SELECT mark FROM views WHERE ref = ?", (view.ref,)).fetchone()
        mark: str | None = found[0] if found else None
        return mark

    # ------------------------------------------------------------ reading

    def read(
        self, view: ViewPlan, entities: Sequence[tuple[Any, ...]], at: datetime
    ) -> Sequence[tuple[Any, ...] | None]:
        known = self._known.get(view.table) or self._find(view)
        if known is None:
            return [None] * len(entities)
        number, ttl = known
        oldest = (at - _EPOCH) // _MICROSECOND - ttl
        if len(entities) == 1:
            found = self._db.execute(_ONE, (number, _key(entities[0]), oldest)).fetchone()
            return [_decode(found[0]) if found else None]
        keys = [_key(entity) for entity in entities]
        rows: dict[bytes, tuple[Any, ...]] = {}
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            for key, row in self._db.execute(_many(len(part)), (number, oldest, *part)):
                rows[key] = _decode(row)
        return [rows.get(key) for key in keys]

    def close(self) -> None:
        self._db.close()

    def _find(self, view: ViewPlan) -> tuple[int, int] | None:
        """Return a view's id and its time to live in microseconds, or None before its first row."""
        found = self._db.execute("SELECT id FROM views WHERE ref = ?", (view.ref,)).fetchone()
        if found is None:
            return None
        ttl = _FOR_EVER if view.ttl_s is None else timedelta(seconds=view.ttl_s) // _MICROSECOND
        return self._known.setdefault(view.table, (found[0], ttl))


_ONE: Final = "SELECT row FROM features WHERE view = ? AND entity = ? AND ts >= ?"


@lru_cache(maxsize=256)
def _many(count: int) -> str:
    """Return the one query that reads `count` entities of a view."""
    places = ", ".join("?" * count)
    return f"SELECT entity, row FROM features WHERE view = ? AND ts >= ? AND entity IN ({places})"  # noqa: S608 (only placeholders)


def _stored(number: int, view: ViewPlan, rows: pa.Table) -> Iterator[tuple[int, bytes, int, bytes]]:
    """Give the rows as the table keeps them; one without an entity can never be asked for."""
    import pyarrow as pa

    entities = zip(*(rows[name].to_pylist() for name in view.entity), strict=True)
    times = rows["event_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    features = zip(*(rows[name].to_pylist() for name in view.columns), strict=True)
    for entity, ts, values in zip(entities, times, features, strict=True):
        if None not in entity:
            yield number, _key(entity), ts, _encode(values)


def _key(entity: tuple[Any, ...]) -> bytes:
    """Return an entity's key; JSON's 7.0 and 7 are the same entity."""
    for part in entity:
        if type(part) is float:
            return _encode(tuple(map(_whole, entity)))
    return _encode(entity)


def _whole(part: Any) -> Any:
    return int(part) if type(part) is float and part.is_integer() else part
