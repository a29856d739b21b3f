"""Checking the chain: every hash anew, every column and edge against the hashed body."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import msgspec
from sqlalchemy import Connection, Row, select

from onward.core.errors import CorruptError
from onward.watch.audit.adapters import rows
from onward.watch.audit.adapters.heads import Heads

_CHUNK: Final = 5_000


def verify(connection: Connection, heads: Heads) -> int:
    """Read the whole ledger in one snapshot; return the number of events.

    Raises
    ------
    CorruptError
        Something does not fit, with the sequence number of the first event where it shows.
    """
    kept = iter(heads)
    seq, previous = 0, rows.GENESIS
    query = select(rows.events).order_by(rows.events.c.seq)
    for chunk in connection.execute(query).partitions(_CHUNK):
        edges = _edges(connection, chunk)
        for row in chunk:
            if row.seq != seq + 1:
                _refuse(seq + 1, "is missing")
            seq, previous = row.seq, _check(row, previous, edges[row.seq])
            head = next(kept, None)
            if head is not None and head != (seq, previous):
                _refuse(seq, f"is not what {heads.path.name} recorded")
    beyond = next(kept, None)
    if beyond is not None:
        _refuse(beyond[0], "was cut off the end")
    if connection.scalar(select(rows.refs.c.seq).where(rows.refs.c.seq > seq).limit(1)):
        _refuse(seq + 1, "is missing, but lineage edges name it")
    return seq


def _check(row: Row[Any], previous: str, edges: set[tuple[str, str]]) -> str:
    body = row.body.encode()
    if row.previous != previous:
        _refuse(row.seq, "does not follow from the one before")
    if row.hash != rows.link(previous, body):
        _refuse(row.seq, "was altered")
    try:
        event = rows.decode(body)
    except msgspec.DecodeError:
        _refuse(row.seq, "cannot be read")
    columns = rows.columns_of(event)
    if any(getattr(row, name) != value for name, value in columns.items()):
        _refuse(row.seq, "has columns that differ from what was hashed")
    if edges != rows.refs_of(event):
        _refuse(row.seq, "has lineage edges that differ from what was hashed")
    return str(row.hash)


def _edges(
    connection: Connection, chunk: Sequence[Row[Any]]
) -> defaultdict[int, set[tuple[str, str]]]:
    found: defaultdict[int, set[tuple[str, str]]] = defaultdict(set)
    columns = rows.refs.c
    query = select(rows.refs).where(columns.seq.between(chunk[0].seq, chunk[-1].seq))
    for row in connection.execute(query):
        found[row.seq].add((row.ref, row.role))
    return found


def _refuse(seq: int, why: str) -> NoReturn:
    raise CorruptError(
        f"the ledger was changed: event {seq} {why}",
        expected="every event as it was recorded",
        next_step="keep this copy as evidence; restore the database and its heads from a backup",
    )
