"""One entity's row of a view, as it is online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from onward.core.errors import DataError, NotFoundError
from onward.core.records import Column, ViewPlan

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.ports.features import OnlineRow
    from onward.stages.features.config import FeatureView


def row_of(
    project: Project, view: FeatureView, given: Mapping[str, str]
) -> tuple[ViewPlan, OnlineRow | None]:
    """Return a view's published version, and the entity's row of it, None where there is none.

    Raises
    ------
    NotFoundError
        The view was never published.
    DataError
        An entity column has no value.
    UnavailableError
        The online store does not answer.
    """
    from onward.stages.features.step import current_version

    plan = current_version(view, project.site.lake)
    if plan is None:
        raise NotFoundError(
            f"feature view {view.name!r} was never published",
            next_step="`onward run` publishes it",
        )
    key = tuple(_entity_value(project, plan, column, given) for column in plan.entity)
    [[row]] = project.site.online.read([(plan, [key])])
    return plan, row


def stale(view: FeatureView, row: OnlineRow, now: datetime) -> bool:
    """Whether a row is older than its view's time to live."""
    return view.ttl is not None and now - datetime.fromtimestamp(row[0] / 1e6, UTC) > view.ttl


def columns(project: Project, view: ViewPlan) -> Sequence[Column]:
    """Return the columns of a view's version."""
    from onward.stages.features.step import columns_of

    return columns_of(view.name, project.site.lake, view.version)


def _entity_value(
    project: Project, view: ViewPlan, column: str, entity: Mapping[str, str]
) -> int | str:
    if column not in entity:
        raise DataError(
            f"feature view {view.name!r} is about {', '.join(view.entity)}: {column!r} is missing",
            expected=f"{column}=VALUE",
        )
    types = {c.name: c.dtype for c in columns(project, view)}
    text = as_stored(project, column, entity[column])
    if types[column] != "int64":
        return text
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{column}={text!r}", expected="a whole number") from None


def as_stored(project: Project, column: str, text: str) -> str:
    """Return a value as the tables have it: masked, where a source masks the column."""
    for source in project.definition.sources.values():
        mask = source.masked.get(column)
        if mask is not None and mask.keyed and mask.stable:
            return str(project.site.masks.value(mask, text))
    return text
