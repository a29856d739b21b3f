"""Expiry: snapshots that nobody needs go, and the files that only they needed with them."""

from __future__ import annotations

from collections.abc import Collection

from pyiceberg.table import Table
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import RemoveSnapshotsUpdate, SetPropertiesUpdate, TableUpdate

from onward.infra.lake import commit, files
from onward.infra.lake.files import Inventory
from onward.infra.lake.snapshots import remembering


def expire(
    table: Table, snapshots: Collection[int], branches: Collection[str] = ()
) -> tuple[set[int], int]:
    """Drop `branches` and `snapshots`, and delete what only these needed.

    Return the snapshots that went, and how many files. Main's head and the heads of other
    branches stay. A snapshot is its rows' last only where nothing else holds the same files.
    """
    files.reap(table)

    def attempt(now: Table) -> tuple[Table, set[int], set[str], str | None]:
        dropped = set(branches) & (now.metadata.refs.keys() - {MAIN_BRANCH})
        heads = {r.snapshot_id for name, r in now.metadata.refs.items() if name not in dropped}
        going = {
            s.snapshot_id
            for s in now.metadata.snapshots
            if s.snapshot_id in snapshots and s.snapshot_id not in heads
        }
        updates: tuple[TableUpdate, ...] = tuple(commit.removal(name) for name in sorted(dropped))
        if going:
            lost = [s for s in now.metadata.snapshots if s.snapshot_id in going]
            if known := remembering(now.metadata, lost):
                updates += (SetPropertiesUpdate(updates=known),)
            updates += (RemoveSnapshotsUpdate.model_validate({"snapshot-ids": sorted(going)}),)
        if not updates:
            return now, going, set(), None
        paths = only(now, going)
        note = files.doom(now, paths) if paths else None
        now.catalog.commit_table(now, (), updates)
        return now, going, paths, note

    now, going, paths, note = commit.optimistic(table, attempt)
    removed = files.remove(now, paths)
    files.remove(now, [note] if note else ())
    return going, removed


def only(table: Table, snapshots: Collection[int]) -> set[str]:
    """Return the files that these snapshots need, and no other one does."""
    inventory = Inventory(table)
    going = [s for s in table.metadata.snapshots if s.snapshot_id in snapshots]
    staying = [s for s in table.metadata.snapshots if s.snapshot_id not in snapshots]
    return inventory.needed(going) - inventory.needed(staying)
