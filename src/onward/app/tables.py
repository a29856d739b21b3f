"""Tables by the names that people use: a dataset, a table, a snapshot's ref, a snapshot before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onward.app.access import require
from onward.core.errors import NotFoundError, unknown_name
from onward.core.ports import Lake, Snapshot
from onward.core.records import DatasetRef

if TYPE_CHECKING:
    from onward.app.project import Project


def find_table(project: Project, text: str) -> DatasetRef:
    """Return the snapshot that `text` names.

    It may be a source or transform (``orders``), a table (``raw.orders``), either of them as of a
    snapshot (``orders@123``) or of one before the newest (``orders@-1``), or a ref as lineage
    shows it (``snapshot:raw.orders@123``).

    Raises
    ------
    NotFoundError
        There is no such table or snapshot, or nothing of it is published.
    DeniedError
        The caller may not read the table.
    """
    name, at, version = text.removeprefix("snapshot:").partition("@")
    table = _table(project, name)
    require(project, "read", table)
    history = snapshots(project.site.lake, table)
    found = _snapshot(history, version, text) if at else history[-1]
    return DatasetRef(table=table, snapshot=found.id, rows=found.rows)


def snapshots(lake: Lake, table: str) -> Sequence[Snapshot]:
    """Return a table's snapshots, oldest first, less those that only tidied its files."""
    return [s for s in lake.history(table) if s.change != "compact"]


def _table(project: Project, name: str) -> str:
    """Return the table of a dataset's name, or of its own."""
    definition, tables = project.definition, project.site.lake.tables()
    declared = {n: definition.table(n) for n in definition.sources}
    declared |= {t.name: t.table for t in definition.transforms}
    table = declared.get(name, name)
    if table in tables:
        return table
    if name in declared:
        raise NotFoundError(
            f"nothing of {name!r} is published yet",
            next_step="`onward run` publishes what is there",
        )
    what, expected = unknown_name("table", name, [*declared, *tables])
    raise NotFoundError(what, expected=expected)


def _snapshot(history: Sequence[Snapshot], version: str, text: str) -> Snapshot:
    known = {str(snapshot.id): snapshot for snapshot in history}
    if version in known:
        return known[version]
    if version.startswith("-") and version[1:].isdigit() and int(version[1:]) < len(history):
        return history[-1 - int(version[1:])]
    newest = ", ".join(str(s.id) for s in history[-5:][::-1])
    raise NotFoundError(
        f"{text!r} names no snapshot",
        expected=f"one of the table's {len(history)}, newest first: {newest}; or @-1 for the one "
        "before the newest",
    )
