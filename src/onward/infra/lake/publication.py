"""Publication: a branch's rows become main's, in one guarded commit."""

from __future__ import annotations

from pyiceberg.table import Table
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot

from onward.core.errors import DataError, DivergedError, NotFoundError, unknown_name
from onward.infra.lake import commit
from onward.infra.lake.snapshots import CHANGE, key_of, mark, published


def publish(table: Table, branch: str, *, expect: int | None, key: str | None) -> Snapshot:
    """Make the branch's rows main's, and drop the branch.

    With a `key`, the staged summary must hold it as ``key``. A branch that main already holds, by
    that key or by its name where the branch is gone, is returned as it stands. Where main's files
    were compacted since `expect`, the branch's files are committed on top of them: main's rows
    are those that the audit knew.

    Raises
    ------
    DivergedError
        Main's rows are not those that the branch was cut from.
    NotFoundError
        There is no such branch, and main holds none that was published from it.
    DataError
        The branch was not staged under this `key`.
    """

    def attempt(now: Table) -> Snapshot:
        head = now.metadata.snapshot_by_name(branch)
        done = published(now.metadata, branch=branch if head is None else None, key=key)
        if done is not None:
            if head is not None:
                commit.forget(now, branch)
            return done
        if head is None:
            raise _unknown_branch(branch, now)
        if key is not None and key_of(head) != key:
            raise DataError(
                f"branch {branch} of {_name(now)} was not staged under the key {key!r}",
                expected=f"summary['key'] of the staged rows: {key_of(head)!r}",
            )
        main = now.current_snapshot()
        parent = _found(now, head.parent_snapshot_id)
        same = _same_rows(now, parent, expect) and _same_rows(now, main, expect)
        if same and (main and main.snapshot_id) == head.parent_snapshot_id:
            return commit.fast_forward(now, branch)
        if same and commit.can_rebase(head):
            return commit.rebase(now, branch, head)
        raise DivergedError(
            f"{_name(now)} moved on while branch {branch} was being audited",
            expected=f"main at snapshot {expect}, found {main and main.snapshot_id}",
            next_step="run again: the rows are staged and audited on the new main",
        )

    return commit.optimistic(table, attempt)


def _same_rows(table: Table, snapshot: Snapshot | None, expect: int | None) -> bool:
    """Tell whether `snapshot` holds what `expect` does: nothing but files changed between them."""
    while snapshot is not None and snapshot.snapshot_id != expect:
        if mark(snapshot, CHANGE) != "compact":
            return False
        snapshot = _found(table, snapshot.parent_snapshot_id)
    return (snapshot and snapshot.snapshot_id) == expect


def _found(table: Table, snapshot: int | None) -> Snapshot | None:
    return None if snapshot is None else table.metadata.snapshot_by_id(snapshot)


def _name(table: Table) -> str:
    return ".".join(table.name())


def _unknown_branch(branch: str, now: Table) -> NotFoundError:
    what, expected = unknown_name(
        f"branch of {_name(now)}", branch, set(now.metadata.refs) - {MAIN_BRANCH}
    )
    return NotFoundError(what, expected=expected, next_step="stage the rows again")
