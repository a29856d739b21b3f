"""What the monitors have seen of production, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onward.core.errors import NotFoundError
from onward.core.records import MonitorReport
from onward.flow.happened import fact
from onward.flow.release.releases import champion

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A report on a window, and in words what followed from it, None where nothing did."""

    report: MonitorReport
    followed: str | None


def watched(project: Project, limit: int = 1) -> Sequence[Watched]:
    """Return the newest reports, newest first; see `measured` for one as of now."""
    told = project.ledger.events(
        kind="monitor.reported", subject=project.definition.model, newest_first=True, limit=limit
    )
    reports = [fact(one, "report", MonitorReport) for one in told]
    return [Watched(report=one, followed=_followed(project, one)) for one in reports]


def measured(project: Project) -> MonitorReport:
    """Measure the window up to now; nothing is recorded, nobody is alerted, nothing follows.

    Raises
    ------
    NotFoundError
        No version serves yet.
    DeclarationError
        A monitor names what is not there.
    """
    from onward.flow.run.watch import measured as measure

    model = project.definition.model
    if champion(project.ledger, model) is None:
        raise NotFoundError(
            f"no version of {model!r} serves yet, so there is nothing to watch",
            next_step="`onward run`",
        )
    return measure(project.site, project.definition)


def _followed(project: Project, report: MonitorReport) -> str | None:
    for told in project.ledger.consuming(report.ref):
        if told.event.kind == "retrain.requested":
            return f"asked for run {told.event.run}"
        if told.event.kind == "retrain.suppressed":
            return f"no retraining: {told.event.facts['reason']}"
    return None
