"""Whether the pipeline file holds together and fits the data, told without doing anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFit:
    """A source that was held against its columns.

    `seen` says where those are known from: the published table, the first rows at the origin, or
    nowhere yet, because the origin has none.
    """

    name: str
    seen: Literal["published", "origin", "no rows"]
    columns: Sequence[str]
    checks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A pipeline whose declarations fit together, and the data."""

    model: str
    sources: Sequence[SourceFit]
    transforms: int
    views: int


def check(project: Project) -> Fit:
    """Hold the pipeline file against the published tables; where there is none, against the origin.

    Raises
    ------
    DeclarationError
        Declarations do not fit together, or name a column that is not there.
    DataError
        An origin that was never taken in does not answer.
    """
    from onward.flow.pipeline.fit import look, published, require_published

    site, definition = project.site, project.definition
    require_published(site, definition)
    tables = published(site, definition)
    found = []
    for source in definition.sources.values():
        table = tables.get(source.name)
        columns = look(site, definition, source) if table is None else table
        seen: Literal["published", "origin", "no rows"] = (
            "published" if table is not None else "origin" if columns else "no rows"
        )
        names = [] if columns is None else columns.names
        checks = len(source.checks)
        found.append(SourceFit(name=source.name, seen=seen, columns=names, checks=checks))
    return Fit(
        model=definition.model,
        sources=found,
        transforms=len(definition.transforms),
        views=len(definition.views),
    )
