"""Expiry: snapshots and branches that nobody needs go, and the files that only they needed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import RemoveSnapshotsUpdate, SetPropertiesUpdate, TableUpdate

from onward.core.ports import Swept
from onward.infra.lake import commit, files
from onward.infra.lake.files import Inventory
from onward.infra.lake.snapshots import main, remembering


@dataclass(frozen=True, slots=True)
class Expired:
    """What went: snapshots, branches, and the files that only they needed."""

    snapshots: frozenset[int]
    branches: frozenset[str]
    files: frozenset[str]


def expire(table: Table, snapshots: Collection[int], branches: Collection[str]) -> Expired:
    """Drop `branches` and `snapshots`, and delete what only these needed.

    The heads of main and of the branches that stay are not dropped.
    """
    files.reap(table)

    def attempt(now: Table) -> tuple[Expired, list[str]]:
        going = _going(now, snapshots, branches)
        if not going.snapshots and not going.branches:
            return going, []
        updates: tuple[TableUpdate, ...] = tuple(map(commit.removal, sorted(going.branches)))
        if going.snapshots:
            lost = [s for s in now.metadata.snapshots if s.snapshot_id in going.snapshots]
            if known := remembering(now.metadata, lost):
                updates += (SetPropertiesUpdate(updates=known),)
            ids = sorted(going.snapshots)
            updates += (RemoveSnapshotsUpdate.model_validate({"snapshot-ids": ids}),)
        notes = [files.doom(now, going.files)] if going.files else []
        now.catalog.commit_table(now, (), updates)
        return going, notes

    gone, notes = commit.optimistic(table, attempt)
    files.remove(table, gone.files)
    files.remove(table, notes)
    return gone


def sweep(
    table: Table,
    snapshots: Collection[int],
    branches: Collection[str],
    *,
    before: datetime,
    dry: bool,
) -> Swept:
    """Expire what is named, and what was abandoned before `before`: files too; or only look.

    The folder is listed first: what is committed after that is known by the metadata, and what is
    not yet committed is younger than `before`.
    """
    lying = {file.path: file for file in files.lying(table)}
    now = table.refresh()
    wanted = {*snapshots, *_abandoned(now.metadata, branches, before)}
    gone = _going(now, wanted, branches) if dry else expire(now, wanted, branches)
    if not dry:
        now = table.refresh()
    needed = Inventory(now).referenced()
    orphans = {path for path, file in lying.items() if file.at < before and path not in needed}
    orphans -= gone.files
    if not dry:
        files.remove(now, orphans)
    return Swept(
        table=".".join(table.name()),
        snapshots=tuple(sorted(gone.snapshots)),
        branches=tuple(sorted(gone.branches)),
        files=len(gone.files | orphans),
        orphans=len(orphans),
        bytes=sum(lying[path].size for path in gone.files | orphans if path in lying),
    )


def _going(table: Table, snapshots: Collection[int], branches: Collection[str]) -> Expired:
    dropped = set(branches) & (table.metadata.refs.keys() - {MAIN_BRANCH})
    heads = {r.snapshot_id for name, r in table.metadata.refs.items() if name not in dropped}
    known = {s.snapshot_id for s in table.metadata.snapshots}
    going = frozenset((set(snapshots) & known) - heads)
    inventory = Inventory(table)
    of = {s.snapshot_id: s for s in table.metadata.snapshots}
    lost = inventory.needed(of[id_] for id_ in going)
    kept = inventory.needed(of[id_] for id_ in known - going)
    return Expired(going, frozenset(dropped), frozenset(lost - kept))


def _abandoned(metadata: TableMetadata, branches: Collection[str], before: datetime) -> set[int]:
    """Return old snapshots that were never main's head, and that no branch which stays needs."""
    needed = {snapshot.snapshot_id for snapshot in main(metadata)}
    for name, ref in metadata.refs.items():
        at: int | None = None if name in branches else ref.snapshot_id
        while at is not None and at not in needed:
            needed.add(at)
            snapshot = metadata.snapshot_by_id(at)
            at = snapshot.parent_snapshot_id if snapshot else None
    old = before.timestamp() * 1000
    return {
        s.snapshot_id
        for s in metadata.snapshots
        if s.snapshot_id not in needed and s.timestamp_ms < old
    }
