"""The catalogue as a team reads it, and in the form in which other catalogues do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onward.core.errors import NotFoundError, unknown_name
from onward.core.records.catalog import CatalogEntry

if TYPE_CHECKING:
    from onward.app.project import Project


def entries(project: Project, name: str | None = None) -> Sequence[CatalogEntry]:
    """Return everything that the pipeline declares, or the one with this name.

    Raises
    ------
    NotFoundError
        Nothing has that name.
    """
    from onward.flow.catalog import catalog

    found = catalog(project.site, project.definition)
    if name is None:
        return found
    named = [entry for entry in found if entry.name == name]
    if not named:
        what, expected = unknown_name("entry", name, [entry.name for entry in found])
        raise NotFoundError(what, expected=expected, next_step="`onward catalog` lists them")
    return named


def dcat(project: Project) -> dict[str, Any]:
    """Return the catalogue as DCAT, in JSON-LD."""
    from onward.watch.catalog.dcat import dcat

    return dcat(project.settings.project.name, entries(project))
