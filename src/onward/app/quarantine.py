"""Questions about the quarantine: what waits there and why; exported, or judged again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.app.access import require
from onward.core.errors import DeclarationError, NotFoundError, unknown_name
from onward.core.records import Replay, Selection
from onward.flow.data.quarantine import replay as replay_rows

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A dataset's quarantine: rows that wait, by the rules they broke, and rows once released.

    `newest` are the newest of the rows that were asked for, with the quarantine's own columns.
    """

    dataset: str
    waiting: int
    released: int
    rules: Mapping[str, int]
    newest: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A file of quarantined rows."""

    dataset: str
    file: Path
    rows: int


def show(
    project: Project,
    dataset: str | None = None,
    *,
    selection: Selection | None = None,
    limit: int = 10,
) -> Sequence[Quarantined]:
    """Return what is in quarantine, for one dataset or for all; the counts are of what is chosen.

    Raises
    ------
    NotFoundError
        Nothing of that name is declared, or the rule, run or id is nowhere in quarantine.
    """
    from onward.stages.validate.quarantine.selection import counts, require_held, rows_of

    chosen, lake = selection or Selection(), project.site.lake
    tables = _held(project, dataset)
    require_held(list(tables.values()), chosen, lake=lake)
    found = []
    for name, table in tables.items():
        waiting, released, rules = counts(table, replace(chosen, state="all"), lake=lake)
        rows = rows_of(table, chosen, lake=lake, limit=limit)
        found.append(
            Quarantined(dataset=name, waiting=waiting, released=released, rules=rules, newest=rows)
        )
    return found


def export(
    project: Project, dataset: str, file: Path, *, selection: Selection | None = None
) -> Exported:
    """Write a dataset's quarantined rows to a file whose ending says the format.

    Raises
    ------
    NotFoundError
        Nothing of the dataset is in quarantine, or the rule, run or id is not.
    DeclarationError, DataError
        The format is unknown, or the file cannot be written.
    """
    from onward.stages.validate.quarantine.selection import export as write
    from onward.stages.validate.quarantine.selection import require_held

    chosen, lake = selection or Selection(), project.site.lake
    tables = _held(project, dataset)
    if dataset not in tables:
        raise NotFoundError(
            f"nothing of {dataset!r} is in quarantine", next_step="`onward quarantine` lists all"
        )
    require_held(list(tables.values()), chosen, lake=lake)
    return Exported(
        dataset=dataset, file=file, rows=write(tables[dataset], chosen, file, lake=lake)
    )


def replay(
    project: Project,
    dataset: str | None = None,
    *,
    selection: Selection | None = None,
    mended: Path | None = None,
) -> Sequence[Replay]:
    """Judge quarantined rows again and publish those that pass; see `onward.flow.data.quarantine`.

    Raises
    ------
    DeniedError
        The caller may not read the quarantine, or not change what the model is built on.
    """
    if selection is not None and selection.state != "waiting":
        raise DeclarationError(
            "rows that were released cannot be replayed", expected="rows that wait"
        )
    if dataset is None or dataset in project.definition.sources:
        _held(project, dataset)
    asking = require(project, "run", project.definition.model)
    return replay_rows(
        project.site,
        project.definition,
        dataset,
        selection=selection,
        mended=mended,
        by=asking.name,
    )


def _held(project: Project, dataset: str | None) -> Mapping[str, str]:
    """Return the tables with a quarantine that the caller may read, by the dataset's name."""
    from onward.stages.validate.quarantine.table import table_of

    definition, lake = project.definition, project.site.lake
    names = [*definition.sources, *(t.name for t in definition.transforms)]
    if dataset is not None and dataset not in names:
        what, expected = unknown_name("source or transform", dataset, names)
        raise NotFoundError(what, expected=expected)
    tables = {name: definition.table(name) for name in ([dataset] if dataset else names)}
    held = {name: table for name, table in tables.items() if lake.head(table_of(table)) is not None}
    for table in held.values():
        require(project, "read", table_of(table))
    return held
