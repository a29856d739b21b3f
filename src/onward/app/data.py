"""How the data stands: each table's figures, now or over a span of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from onward.core.clock import duration
from onward.core.errors import NotFoundError, unknown_name
from onward.flow.data.figures import TableFigures, figures

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStatus:
    """Every table's figures up to `at`, of the last `since` seconds (None: all there are).

    `per_hour` is the declared price of an hour of processing, in `currency`.
    """

    at: datetime
    since: float | None
    per_hour: float
    currency: str
    tables: Sequence[TableFigures]


def data_status(
    project: Project, dataset: str | None = None, *, since: str | None = None
) -> DataStatus:
    """Return the figures of one dataset, or of all; `since` is a duration such as ``30d``.

    Raises
    ------
    NotFoundError
        There is no such dataset.
    DeclarationError
        `since` is no duration.
    """
    span = duration(since) if since else None
    cost = project.settings.cost
    found = figures(project.site, project.definition, since=span, per_hour=cost.per_hour)
    names = [one.name for one in found]
    if dataset is not None and dataset not in names:
        what, expected = unknown_name("dataset or feature view", dataset, names)
        raise NotFoundError(what, expected=expected)
    return DataStatus(
        at=project.clock.now(),
        since=span.total_seconds() if span else None,
        per_hour=cost.per_hour,
        currency=cost.currency,
        tables=[one for one in found if dataset in (None, one.name)],
    )
