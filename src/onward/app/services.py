"""Features of one entity, as they are online now: what a model would read, for a person to see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from onward.core.errors import DataError, NotFoundError, unknown_name
from onward.core.records import ViewPlan

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.ports.features import OnlineRow
    from onward.stages.features.config import FeatureView
    from onward.stages.features.service import FeatureService


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One online feature of an entity: None where it is missing, or stale by its view's TTL."""

    feature: str
    value: float | str | None
    event_time: datetime | None
    stale: bool


def service(project: Project, name: str) -> FeatureService:
    """Return a declared feature service; a view's name stands for the view alone.

    Raises
    ------
    NotFoundError
        Neither a service nor a view has that name.
    """
    from onward.stages.features.service import FeatureService

    services, views = project.definition.services, project.definition.views
    if name in services:
        return services[name]
    view = next((v for v in views if v.name == name), None)
    if view is None:
        known = [*services, *(v.name for v in views)]
        what, expected = unknown_name("feature service", name, known)
        raise NotFoundError(what, expected=expected, next_step="`onward features` lists them")
    return FeatureService(name=name, members=(view,))


def online(project: Project, name: str, entity: Mapping[str, str]) -> Sequence[Served]:
    """Return the online features of a service, or a view, for one entity.

    Parameters
    ----------
    entity
        The value of each entity column, as text.

    Raises
    ------
    NotFoundError
        There is no such service, or a view of it was never published.
    DataError
        An entity column has no value.
    UnavailableError
        The online store does not answer.
    """
    from onward.stages.features.step import current_version

    found: list[Served] = []
    for view in service(project, name).views:
        plan = current_version(view, project.site.lake)
        if plan is None:
            raise NotFoundError(
                f"feature view {view.name!r} was never published",
                next_step="`onward run` publishes it",
            )
        key = tuple(_entity_value(project, plan, column, entity) for column in plan.entity)
        [[row]] = project.site.online.read([(plan, [key])])
        found += _served(view, plan, row, project.clock.now())
    return found


def _entity_value(
    project: Project, view: ViewPlan, column: str, entity: Mapping[str, str]
) -> int | str:
    from onward.stages.features.step import columns_of

    if column not in entity:
        raise DataError(
            f"feature view {view.name!r} is about {', '.join(view.entity)}: {column!r} is missing",
            expected=f"{column}=VALUE",
        )
    types = {c.name: c.dtype for c in columns_of(view.name, project.site.lake, view.version)}
    text = _as_stored(project, column, entity[column])
    if types[column] != "int64":
        return text
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{column}={text!r}", expected="a whole number") from None


def _served(
    view: FeatureView, plan: ViewPlan, row: OnlineRow | None, now: datetime
) -> Iterator[Served]:
    at = None if row is None else datetime.fromtimestamp(row[0] / 1e6, UTC)
    stale = at is not None and view.ttl is not None and now - at > view.ttl
    values = {} if row is None or stale else dict(zip(plan.columns, row[1], strict=True))
    for column in plan.columns if view.selected is None else view.selected:
        yield Served(
            feature=f"{view.name}__{column}", value=values.get(column), event_time=at, stale=stale
        )


def _as_stored(project: Project, column: str, text: str) -> str:
    """Return a value as the tables have it: masked, where a source masks the column."""
    for source in project.definition.sources.values():
        mask = source.masked.get(column)
        if mask is not None and mask.keyed and mask.stable:
            return str(project.site.masks.value(mask, text))
    return text
