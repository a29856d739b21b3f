"""The lake, for a person: its tables, one table's past, and what can go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from onward.core.errors import NotFoundError, unknown_name
from onward.core.ports import Snapshot, Swept
from onward.flow.keeping import upkeep
from onward.flow.keeping.retention import Retention, retention

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class TableInfo:
    """A table as it stands; `at` is when it last changed, `snapshots` how many are kept."""

    table: str
    rows: int
    files: int
    bytes: int
    snapshots: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection removed from one table, or would; and what of it stays, and why."""

    plan: Retention
    swept: Swept


def tables(project: Project) -> Sequence[TableInfo]:
    """Return every published table, by name."""
    found = []
    for table in project.site.lake.tables():
        history = project.site.lake.history(table)
        head = history[-1]
        found.append(
            TableInfo(
                table=table,
                rows=head.rows,
                files=head.files,
                bytes=head.bytes,
                snapshots=len(history),
                at=head.at,
            )
        )
    return found


def history(project: Project, table: str) -> Sequence[Snapshot]:
    """Return a table's snapshots that are kept, newest first; ``raw.`` may be left out.

    Raises
    ------
    NotFoundError
        There is no such table.
    """
    known = project.site.lake.tables()
    named = [name for name in known if table in (name, name.partition(".")[2])]
    if len(named) != 1:
        what, expected = unknown_name("table", table, named or known)
        raise NotFoundError(what, expected=expected, next_step="`onward lake tables` lists them")
    return project.site.lake.history(named[0])[::-1]


def collect(
    project: Project, *, older_than: timedelta | None = None, dry_run: bool = False
) -> Sequence[Collected]:
    """Remove snapshots that were not current within `older_than`, unless something needs them.

    The setting ``[lake] keep`` holds unless told otherwise. With `dry_run` nothing is removed.
    """
    settings = project.settings.lake
    keep = older_than or settings.keep
    plan = retention(project.site, keep=keep, grace=settings.grace)
    if dry_run:
        done = upkeep.weigh(project.site, plan)
    else:
        done = upkeep.sweep(project.site, keep=keep, grace=settings.grace)
    by_table = {swept.table: swept for swept in done}
    return [Collected(plan=of, swept=by_table[of.table]) for of in plan if of.table in by_table]


def compact(project: Project, *, every: int = upkeep.SMALL_FILES) -> Sequence[Snapshot]:
    """Rewrite the small files of every table that has more than `every`; return what changed."""
    return upkeep.compact(project.site, every=every)
