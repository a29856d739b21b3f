"""Lineage for others: the ledger's events to an OpenLineage backend, a file, or the terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from onward.app.load import repository_of
from onward.app.project import Project
from onward.app.secrets import filling, open_project_secrets
from onward.core.errors import DeclarationError, OnwardError

if TYPE_CHECKING:
    from onward.watch.lineage.adapters.openlineage_runs import Naming
    from onward.watch.lineage.port import Outlet

_log = logging.getLogger(__name__)


def lines(project: Project, *, after: int = 0) -> Iterator[str]:
    """Yield every OpenLineage event that the ledger's events past `after` make, as JSON."""
    from onward.watch.lineage.adapters.openlineage import as_json

    yield from as_json(project.ledger.events(after=after), _naming(project))


def send(project: Project) -> int:
    """Send what the backend has not heard yet; return how many ledger events that were.

    Raises
    ------
    DeclarationError
        No backend is set.
    OnwardError
        The backend does not take them.
    """
    from onward.watch.lineage.outbox import catch_up

    if not project.settings.lineage.openlineage:
        raise DeclarationError(
            "no lineage backend is set",
            expected='[lineage] openlineage = "http://host:5000" in onward.toml, or a file\'s path',
        )
    return catch_up(project.ledger, _outlet(project), project.settings.state / "openlineage.mark")


def try_to_send(project: Project) -> str | None:
    """Send if a backend is set; return why it failed, which nothing else may fail for."""
    if not project.settings.lineage.openlineage:
        return None
    try:
        send(project)
    except OnwardError as error:
        _log.warning("%s", error)
        return error.what
    return None


def _outlet(project: Project) -> Outlet:
    try:
        from onward.watch.lineage.adapters.openlineage import LineageBackend, LineageFile
    except ImportError:
        raise DeclarationError(
            "[lineage] openlineage is set, and the library for it is not installed",
            next_step="pip install 'onward[openlineage]'",
        ) from None
    target = project.settings.lineage.openlineage
    if target.startswith(("http://", "https://")):
        fill = filling(open_project_secrets(project.settings))
        api_key = fill(project.settings.lineage.api_key)
        return LineageBackend(target, _naming(project), api_key)
    return LineageFile(project.settings.folder / target, _naming(project))


def _naming(project: Project) -> Naming:
    from onward.watch.lineage.adapters.openlineage_runs import Naming

    settings = project.settings
    return Naming(
        namespace=settings.lineage.namespace or settings.project.name,
        pipeline=project.definition.model,
        repository=repository_of(settings.folder),
    )
