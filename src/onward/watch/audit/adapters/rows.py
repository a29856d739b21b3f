"""How an event becomes rows: its hashed body, the columns beside it, and the refs it names."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, UniqueConstraint

from onward.core.errors import DataError
from onward.core.events import Event, Recorded

GENESIS: Final = "0" * 64

metadata: Final = MetaData()

events: Final = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("run", String),
    Column("at", String, nullable=False),
    Column("body", String, nullable=False),
    Column("previous", String, nullable=False),
    Column("hash", String, nullable=False),
    UniqueConstraint("kind", "key"),
    Index("events_by_kind", "kind", "seq"),
    Index("events_by_kind_and_subject", "kind", "subject", "seq"),
    Index("events_by_subject", "subject", "seq"),
    Index("events_by_run", "run", "seq"),
)

refs: Final = Table(
    "events_refs",
    metadata,
    Column("ref", String, primary_key=True),
    Column("role", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Index("events_refs_by_seq", "seq"),
    sqlite_with_rowid=False,
)

# A slip of ours, or of somebody with a SQL prompt, stops here; whoever drops these is found out
# by the hashes.
TRIGGERS: Final = tuple(
    f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    for table in ("events", "events_refs")
    for verb in ("UPDATE", "DELETE")
)


def encode(event: Event) -> bytes:
    """Return an event as canonical JSON: sorted keys, no white space, UTF-8.

    Raises
    ------
    DataError
        A fact is no JSON value.
    """
    try:
        return msgspec.json.encode(event, order="sorted")
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"event {event.kind} of {event.subject} has a fact that is no JSON value: {error}",
            expected="numbers, text, booleans, None, times, and lists and mappings of them",
        ) from None


def decode(body: str | bytes) -> Event:
    """Return the event that `encode` wrote."""
    return msgspec.json.decode(body, type=Event)


def link(previous: str, body: bytes) -> str:
    """Return the chain's hash after an event: SHA-256 over the hash before and its body, hex."""
    return hashlib.sha256(previous.encode() + body).hexdigest()


def columns_of(event: Event) -> dict[str, Any]:
    """Return what is stored beside the body to search by."""
    return {
        "kind": event.kind,
        "key": event.key,
        "subject": event.subject,
        "run": event.run,
        "at": event.at.isoformat(),
    }


def refs_of(event: Event) -> set[tuple[str, str]]:
    """Return the lineage edges of an event: (ref, role)."""
    return {(r, "in") for r in event.inputs} | {(r, "out") for r in event.outputs}


def recorded(seq: int, body: str, digest: str) -> Recorded:
    """Read a row of sequence number, body and hash."""
    return Recorded(seq=seq, event=decode(body), hash=digest)
