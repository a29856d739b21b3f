"""What a snapshot says of itself: the caller's summary, the table's state, and Onward's marks."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, cast

from pyiceberg.io import FileIO
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

from onward.core.ports import Change, Snapshot

BRANCH: Final = "onward-branch"
"""The branch that the snapshot was staged on."""

CHANGE: Final = "onward-change"
"""What the commit did to main's rows: one of the port's `Change`."""

GIVEN: Final = "onward-given"
"""How many rows came with the commit."""

REWRITTEN: Final = "onward-rewritten"
"""The names of the files that an append wrote for rows which were there before, in new types."""

GONE: Final = "onward.gone"
"""The table's property that knows the commits of snapshots that are gone."""

_REMEMBERED: Final = 1_000  # of the newest commits that are gone: 17 bytes each
_SUMMARY: Final = "onward."
_STATE: Final = "onward-state."
_KEY: Final = _SUMMARY + "key"
_SPILLED: Final = "@"  # before the name of the file that holds a long value
_LONG: Final = 512  # characters of a value that every later snapshot's metadata would repeat


class Entries(Mapping[str, str]):
    """A summary or a state; a long value is read from its file when it is asked for."""

    def __init__(self, stored: Mapping[str, str], folder: str, io: FileIO) -> None:
        self._stored, self._folder, self._io = stored, folder, io

    def __getitem__(self, name: str) -> str:
        value = self._stored[name]
        if not value.startswith(_SPILLED) or name == "key":
            return value
        with self._io.new_input(f"{self._folder}/{value[1:]}").open() as file:
            return file.read().decode()

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def __repr__(self) -> str:
        return repr(self._stored)


def record(table: Table, snapshot: IcebergSnapshot) -> Snapshot:
    """Return Iceberg's snapshot as the port has it."""
    return Snapshot(
        table=".".join(table.name()),
        id=snapshot.snapshot_id,
        parent=snapshot.parent_snapshot_id,
        at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
        rows=int(mark(snapshot, "total-records") or 0),
        summary=Entries(_under(_SUMMARY, snapshot), _metadata(table), table.io),
        state=Entries(_under(_STATE, snapshot), _metadata(table), table.io),
        change=cast("Change", mark(snapshot, CHANGE) or "append"),
        given=int(mark(snapshot, GIVEN) or 0),
        files=int(mark(snapshot, "total-data-files") or 0),
        bytes=int(mark(snapshot, "total-files-size") or 0),
    )


def said(table: Table, summary: Mapping[str, str], state: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's entries as Iceberg's summary holds them; long ones go to files."""
    entries = {_SUMMARY + name: value for name, value in summary.items()}
    entries |= {_STATE + name: value for name, value in state.items()}
    return {
        name: value if name == _KEY or not _spills(value) else _spill(table, value)
        for name, value in entries.items()
    }


def carried(head: IcebergSnapshot | None) -> dict[str, str]:
    """Return the entries that a commit on `head` holds on to unless it says otherwise."""
    if head is None:
        return {}
    return {_STATE + name: value for name, value in _under(_STATE, head).items()}


def spilled(table: Table, snapshot: IcebergSnapshot) -> list[str]:
    """Return the files with a snapshot's long entries."""
    stored = {**_under(_STATE, snapshot), **_under(_SUMMARY, snapshot)}
    stored.pop("key", None)
    return [f"{_metadata(table)}/{v[1:]}" for v in stored.values() if v.startswith(_SPILLED)]


def key_of(snapshot: IcebergSnapshot) -> str | None:
    """Return the key that the caller gave this commit."""
    return mark(snapshot, _KEY)


def mark(snapshot: IcebergSnapshot, name: str) -> str | None:
    """Return one of Onward's or Iceberg's own entries, or None."""
    return snapshot.summary[name] if snapshot.summary else None


def main(metadata: TableMetadata) -> Iterator[IcebergSnapshot]:
    """Yield the snapshots that have been main's head and are kept, newest first.

    The log tells, not the parents: a snapshot whose parent has expired has none.
    """
    seen = set()
    for entry in reversed(metadata.snapshot_log):
        found = metadata.snapshot_by_id(entry.snapshot_id)
        if found is not None and entry.snapshot_id not in seen:
            seen.add(entry.snapshot_id)
            yield found


def published(
    metadata: TableMetadata, *, branch: str | None = None, key: str | None = None
) -> IcebergSnapshot | None:
    """Return main's snapshot with this key, or else one that was staged on this branch.

    Where that snapshot is gone by now, main's head stands for it: its rows are there.
    """
    wanted = _commits(key, branch)
    if not wanted:
        return None
    for snapshot in main(metadata):
        if wanted & commits(snapshot):
            return snapshot
    return metadata.current_snapshot() if wanted & set(gone(metadata)) else None


def commits(snapshot: IcebergSnapshot) -> set[str]:
    """Return by what a repetition of this commit is known: a digest of its key, of its branch."""
    return _commits(key_of(snapshot), mark(snapshot, BRANCH))


def gone(metadata: TableMetadata) -> list[str]:
    """Return by what the commits of snapshots that are gone are known, the newest last."""
    return metadata.properties.get(GONE, "").split()


def remembering(metadata: TableMetadata, going: Iterable[IcebergSnapshot]) -> dict[str, str]:
    """Return the property that knows main's snapshots among `going` as well."""
    mine = {s.snapshot_id for s in main(metadata)}
    added = [c for s in going if s.snapshot_id in mine for c in sorted(commits(s))]
    return {GONE: " ".join([*gone(metadata), *added][-_REMEMBERED:])} if added else {}


def _commits(key: str | None, branch: str | None) -> set[str]:
    named = {"key": key, "branch": branch}
    return {
        hashlib.sha256(f"{kind} {text}".encode()).hexdigest()[:16]
        for kind, text in named.items()
        if text is not None
    }


def _under(prefix: str, snapshot: IcebergSnapshot) -> dict[str, str]:
    stored = snapshot.summary.additional_properties if snapshot.summary else {}
    return {
        name.removeprefix(prefix): value
        for name, value in stored.items()
        if name.startswith(prefix)
    }


def _spills(value: str) -> bool:
    return len(value) > _LONG or value.startswith(_SPILLED)


def _spill(table: Table, value: str) -> str:
    file = f"state-{uuid.uuid4()}.txt"
    with table.io.new_output(f"{_metadata(table)}/{file}").create() as stream:
        stream.write(value.encode())
    return _SPILLED + file


def _metadata(table: Table) -> str:
    return f"{table.location().rstrip('/')}/metadata"
