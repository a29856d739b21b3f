"""What a table holds, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from onward.app.tables import find_table

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A table's profile as of a snapshot; `columns` as `onward.stages.validate.describe` has it."""

    project: str
    table: str
    snapshot: int
    at: datetime
    rows: int
    exact: bool
    columns: Mapping[str, Mapping[str, Any]]


def profile(project: Project, name: str) -> Profile:
    """Profile a table; `name` is a dataset, a table, or either as of a snapshot.

    Raises
    ------
    NotFoundError
        There is no such table or snapshot.
    """
    from onward.stages.validate.describe import describe

    found, lake = find_table(project, name), project.site.lake
    at = next(s.at for s in lake.history(found.table) if s.id == found.snapshot)
    with lake.open({"rows": found}) as connection:
        described = describe(connection.con, "rows", personal=project.definition.personal)
    return Profile(
        project=project.settings.project.name,
        table=found.table,
        snapshot=found.snapshot,
        at=at,
        rows=described["rows"],
        exact=described["exact"],
        columns=described["columns"],
    )
