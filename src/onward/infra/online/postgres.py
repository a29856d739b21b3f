"""The online store port on PostgreSQL: a row per view version and entity, in two tables.

Rows go in by COPY and one upsert, in one transaction with the mark; they come out by one query,
whatever the views and however many the entities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg.errors import UndefinedTable

from onward.core.ports import Entity, Lookup, OnlineRow
from onward.core.records import Materialized, ViewPlan
from onward.infra.online.rows import decode, encoded, key, mark_text, read_mark
from onward.infra.online.server import unavailable

if TYPE_CHECKING:
    import pyarrow as pa

Connection: TypeAlias = psycopg.Connection[Any]
T = TypeVar("T")

_SCHEMA: Final = """
SELECT pg_advisory_xact_lock(hashtext('onward_online'));
CREATE TABLE IF NOT EXISTS onward_online_views (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace text NOT NULL, ref text NOT NULL, mark text, UNIQUE (namespace, ref)
);
CREATE TABLE IF NOT EXISTS onward_online_features (
  view integer NOT NULL REFERENCES onward_online_views ON DELETE CASCADE,
  entity bytea NOT NULL, ts bigint NOT NULL, row bytea NOT NULL, PRIMARY KEY (view, entity)
);
"""
_ADD: Final = """
INSERT INTO onward_online_views (namespace, ref) VALUES (%s, %s)
ON CONFLICT (namespace, ref) DO UPDATE SET ref = excluded.ref RETURNING id
"""
_VIEW: Final = "SELECT id FROM onward_online_views WHERE namespace = %s AND ref = %s"
_MARK: Final = "SELECT mark FROM onward_online_views WHERE namespace = %s AND ref = %s"
_SET_MARK: Final = "UPDATE onward_online_views SET mark = %s WHERE id = %s"
_REMOVE: Final = """
DELETE FROM onward_online_features AS held USING onward_online_views AS v
WHERE v.id = held.view AND v.namespace = %s AND v.ref = %s AND held.entity = ANY(%s)
"""
_STAGE: Final = """
CREATE TEMP TABLE _given (n integer, entity bytea, ts bigint, row bytea) ON COMMIT DROP
"""
_UPSERT: Final = """
INSERT INTO onward_online_features AS held (view, entity, ts, row)
SELECT DISTINCT ON (entity) %s::integer, entity, ts, row FROM _given
ORDER BY entity, ts DESC, n DESC
ON CONFLICT (view, entity) DO UPDATE SET ts = excluded.ts, row = excluded.row
WHERE excluded.ts >= held.ts
"""
_READ: Final = """
SELECT asked.n, held.row
FROM unnest(%s::integer[], %s::integer[], %s::bytea[]) AS asked(n, view, entity)
JOIN onward_online_features AS held ON held.view = asked.view AND held.entity = asked.entity
"""


def open_store(
    url: str, namespace: str = "onward", timeout_s: float | None = None
) -> PostgresOnlineStore:
    """Open the store at ``postgresql://…``; it connects, and makes its tables, when asked.

    Parameters
    ----------
    namespace
        What sets the rows of projects apart that share a database.
    timeout_s
        How long a statement may take; None for as long as it takes.
    """
    return PostgresOnlineStore(url, namespace=namespace, timeout_s=timeout_s)


class PostgresOnlineStore:
    """Feature rows in a table; readers see whole writes only.

    Reading needs no more than SELECT. A connection that broke is made anew, once, within the same
    call.
    """

    def __init__(self, url: str, *, namespace: str, timeout_s: float | None) -> None:
        self._url = url
        self._namespace = namespace
        self._timeout_s = timeout_s
        self._open: Connection | None = None
        self._known: dict[str, int] = {}

    @property
    def remote(self) -> bool:
        return True

    # ------------------------------------------------------------ writing

    def write(self, view: ViewPlan, rows: pa.Table, *, mark: Materialized | None = None) -> int:
        def written(connection: Connection) -> int:
            with connection.transaction():
                connection.execute(_SCHEMA)
                number = connection.execute(_ADD, (self._namespace, view.ref)).fetchone()[0]  # type: ignore[index]  # RETURNING gives one
                _stage(connection, encoded(view, rows))
                newer = connection.execute(_UPSERT, (number,)).rowcount
                if mark is not None:
                    connection.execute(_SET_MARK, (mark_text(mark), number))
            return newer

        return self._ask(written)

    def mark(self, view: ViewPlan) -> Materialized | None:
        def text(connection: Connection) -> str | None:
            found = connection.execute(_MARK, (self._namespace, view.ref)).fetchone()
            return found[0] if found else None

        try:
            return read_mark(self._ask(text))
        except UndefinedTable:
            return None

    def remove(self, view: ViewPlan, entities: Sequence[Entity]) -> int:
        keys = [key(entity) for entity in entities]
        asked = (self._namespace, view.ref, keys)
        try:
            return self._ask(lambda connection: connection.execute(_REMOVE, asked).rowcount)
        except UndefinedTable:
            return 0

    # ------------------------------------------------------------ reading

    def read(self, lookups: Sequence[Lookup]) -> Sequence[Sequence[OnlineRow | None]]:
        try:
            return self._ask(lambda connection: self._read(connection, lookups))
        except UndefinedTable:
            return [[None] * len(entities) for _, entities in lookups]

    def _read(
        self, connection: Connection, lookups: Sequence[Lookup]
    ) -> Sequence[Sequence[OnlineRow | None]]:
        numbers = [self._number(connection, view) for view, _ in lookups]
        asked = [
            (number, key(entity))
            for number, (_, entities) in zip(numbers, lookups, strict=True)
            for entity in entities
        ]
        rows: list[OnlineRow | None] = [None] * len(asked)
        columns = (list(range(len(asked))), [v for v, _ in asked], [k for _, k in asked])
        for n, row in connection.execute(_READ, columns, prepare=True, binary=True):
            rows[n] = decode(row)
        given = iter(rows)
        return [[next(given) for _ in entities] for _, entities in lookups]

    def _number(self, connection: Connection, view: ViewPlan) -> int | None:
        """Return a view's id, or None before its first row."""
        if view.table not in self._known:
            found = connection.execute(_VIEW, (self._namespace, view.ref)).fetchone()
            if found is None:
                return None
            self._known[view.table] = found[0]
        return self._known[view.table]

    # ------------------------------------------------------------ the connection

    def _ask(self, work: Callable[[Connection], T]) -> T:
        """Do `work` on the connection; where an old one turns out to be broken, on a new one."""
        old = self._open is not None
        try:
            return work(self._connection())
        except psycopg.OperationalError as error:
            if not old or not self._broken():
                raise unavailable(self._url, error) from error
        try:
            return work(self._connection())
        except psycopg.OperationalError as error:
            raise unavailable(self._url, error) from error

    def _broken(self) -> bool:
        return self._open is None or self._open.closed

    def _connection(self) -> Connection:
        if self._open is None or self._open.closed:
            self._known.clear()  # another database may stand behind the same address now
            self._open = psycopg.connect(self._url, autocommit=True, **_limits(self._timeout_s))
            if self._timeout_s is not None:
                self._open.execute(f"SET statement_timeout = {round(self._timeout_s * 1000)}")
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()


def _stage(connection: Connection, rows: Iterable[tuple[bytes, int, bytes]]) -> None:
    connection.execute(_STAGE)
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY _given FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(["int4", "bytea", "int8", "bytea"])
        for n, row in enumerate(rows):
            copy.write_row((n, *row))


def _limits(timeout_s: float | None) -> dict[str, Any]:
    """Return what ends a connection to a host that is gone; libpq waits two seconds at least."""
    if timeout_s is None:
        return {"connect_timeout": 10}
    return {
        "connect_timeout": max(2, round(timeout_s)),
        "keepalives_idle": 1,
        "keepalives_interval": 1,
        "keepalives_count": 2,
        "tcp_user_timeout": max(1, round(timeout_s * 1000)),
    }
