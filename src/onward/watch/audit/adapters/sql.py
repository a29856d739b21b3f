"""The ledger in a SQL database: one table of events, one index of the refs they name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, Select, insert, select

from onward.core.errors import BusyError
from onward.core.events import Event, Recorded
from onward.watch.audit.adapters import rows
from onward.watch.audit.adapters.heads import Heads
from onward.watch.audit.adapters.verify import verify

LOCK_TIMEOUT_S: Final = 60.0

_columns = rows.events.c
_edges = rows.refs.c
_read = select(_columns.seq, _columns.body, _columns.hash)


class SqlLedger:
    """The ledger over an engine from `onward.infra.database.open_database`.

    Safe to share between threads; any number of processes may append to one ledger.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        file = Path(str(engine.url.database))
        self._heads = Heads(file.with_name("ledger.heads"))
        self._lock = FileLock(file.with_name("ledger.lock"), timeout=LOCK_TIMEOUT_S)
        with engine.connect() as connection:
            ready = engine.dialect.has_table(connection, rows.events.name)
        if not ready:
            with self._alone(), _writing(engine) as connection:
                self._heads.create()
                rows.metadata.create_all(connection)
                for trigger in rows.TRIGGERS:
                    connection.exec_driver_sql(trigger)

    # ------------------------------------------------------------ writing

    def append(self, event: Event) -> Recorded:
        """Record an event; one with the same kind and key is returned as it stands.

        Raises
        ------
        DataError
            A fact is no JSON value.
        BusyError
            Another process has held the ledger for a minute.
        """
        return self.extend([event])[0]

    def extend(self, events: Iterable[Event]) -> Sequence[Recorded]:
        """Record events in order, in one transaction and one sync: all of them or none."""
        bodies = [(event, rows.encode(event)) for event in events]
        with self._alone():
            headed = self._heads.last()
            with _writing(self._engine) as connection:
                recorded = _record(connection, bodies)
                later = _columns.seq > headed
                query = select(_columns.seq, _columns.hash).where(later).order_by(_columns.seq)
                missing = [(row.seq, row.hash) for row in connection.execute(query)]
            if missing:
                self._heads.append(missing)
        return recorded

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # The line in the file of heads follows the commit; nobody else may come in between.
        try:
            with self._lock:
                yield
        except Timeout:
            raise BusyError(
                f"another process has held the ledger for {LOCK_TIMEOUT_S:g} s",
                next_step="wait for it, or end it",
            ) from None

    # ------------------------------------------------------------ reading

    def events(
        self,
        *,
        kind: str | None = None,
        subject: str | None = None,
        run: str | None = None,
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Sequence[Recorded]:
        """Return events that match, by sequence."""
        query = _read.where(_columns.seq > after)
        wanted = ((_columns.kind, kind), (_columns.subject, subject), (_columns.run, run))
        for column, value in wanted:
            if value is not None:
                query = query.where(column == value)
        query = query.order_by(_columns.seq.desc() if newest_first else _columns.seq)
        return self._fetch(query.limit(limit))

    def producing(
        self, ref: str, *, before: int | None = None, last: int | None = None
    ) -> Sequence[Recorded]:
        """Return the events that name `ref` among their outputs, by sequence.

        Only those before the sequence number `before`, and of them the `last` so many.
        """
        query = _naming(ref, "out")
        if before is not None:
            query = query.where(_edges.seq < before)
        return self._fetch(query.order_by(_edges.seq.desc()).limit(last))[::-1]

    def consuming(self, ref: str) -> Sequence[Recorded]:
        """Return the events that name `ref` among their inputs, by sequence."""
        return self._fetch(_naming(ref, "in").order_by(_edges.seq))

    def refs(self, prefix: str, *, limit: int | None = None) -> Sequence[str]:
        """Return the refs that begin with `prefix` and that some event names, sorted."""
        column = _edges.ref
        query = select(column).distinct().where(column >= prefix, column < prefix + "\U0010ffff")
        with self._engine.connect() as connection:
            return list(connection.scalars(query.order_by(column).limit(limit)))

    def head(self) -> Recorded | None:
        """Return the newest event; its hash vouches for everything before it."""
        found = self.events(newest_first=True, limit=1)
        return found[0] if found else None

    def verify(self) -> int:
        """Check the whole chain against its heads; return the number of events.

        Raises
        ------
        CorruptError
            An event was altered, removed, or cut off the end.
        """
        with self._alone(), self._engine.connect() as connection:
            return verify(connection, self._heads)

    def _fetch(self, query: Select[Any]) -> Sequence[Recorded]:
        with self._engine.connect() as connection:
            return [rows.recorded(*row) for row in connection.execute(query)]


def _naming(ref: str, role: Literal["in", "out"]) -> Select[Any]:
    joined = _read.join(rows.refs, _edges.seq == _columns.seq)
    return joined.where(_edges.ref == ref, _edges.role == role)


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    """Give a transaction that is a writer from its first statement on."""
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


def _record(connection: Connection, bodies: Sequence[tuple[Event, bytes]]) -> list[Recorded]:
    newest = select(_columns.seq, _columns.hash).order_by(_columns.seq.desc()).limit(1)
    head = connection.execute(newest).first()
    seq, previous = (head.seq, head.hash) if head else (0, rows.GENESIS)
    recorded: list[Recorded] = []
    fresh: dict[tuple[str, str], Recorded] = {}
    new: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    for event, body in bodies:
        identity = (event.kind, event.key)
        told = fresh.get(identity) or _existing(connection, event)
        if told is None:
            digest = rows.link(previous, body)
            seq += 1
            told = fresh[identity] = Recorded(seq=seq, event=rows.decode(body), hash=digest)
            texts = {"body": body.decode(), "previous": previous, "hash": digest}
            new.append({"seq": seq, **rows.columns_of(told.event), **texts})
            edges += [{"ref": r, "role": role, "seq": seq} for r, role in rows.refs_of(told.event)]
            previous = digest
        recorded.append(told)
    if new:
        connection.execute(insert(rows.events), new)
    if edges:
        connection.execute(insert(rows.refs), edges)
    return recorded


def _existing(connection: Connection, event: Event) -> Recorded | None:
    known = _read.where(_columns.kind == event.kind, _columns.key == event.key)
    row = connection.execute(known).first()
    return rows.recorded(*row) if row else None
