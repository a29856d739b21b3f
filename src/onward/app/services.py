"""Features of one entity as they are now: what a model would read, for a person to see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from onward.app.entity import row_of, stale
from onward.app.on_request import computed, missing
from onward.core.errors import NotFoundError, unknown_name
from onward.core.records import ViewPlan
from onward.stages.features.on_demand import MARK, OnDemand

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.ports.features import OnlineRow
    from onward.stages.features.config import FeatureView
    from onward.stages.features.service import FeatureService


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One feature of an entity: of a view as it is online, or of an on-demand function.

    The value is None where it is missing, or stale by its view's TTL. A function that reads what
    was not given has one of these under its own name, and `needs` says what that is.
    """

    feature: str
    value: float | str | None
    event_time: datetime | None = None
    stale: bool = False
    function: str | None = None
    needs: tuple[str, ...] = ()


def service(project: Project, name: str) -> FeatureService:
    """Return a declared feature service; a view's or a function's name stands for that alone.

    Raises
    ------
    NotFoundError
        Nothing has that name.
    """
    from onward.stages.features.service import FeatureService

    definition = project.definition
    if name in definition.services:
        return definition.services[name]
    members: dict[str, FeatureView | OnDemand] = {view.name: view for view in definition.views}
    members |= {function.name: function for function in definition.on_demand}
    if name not in members:
        known = [*definition.services, *members]
        what, expected = unknown_name("feature service", name, known)
        raise NotFoundError(what, expected=expected, next_step="`onward features` lists them")
    return FeatureService(name=name, members=(members[name],))


def online(project: Project, name: str, given: Mapping[str, str]) -> Sequence[Served]:
    """Return the features of a service, a view or a function, for one entity and one request.

    Parameters
    ----------
    given
        The value of each entity column, and of the request's columns that functions read, as text.

    Raises
    ------
    NotFoundError
        There is no such service, or a view of it was never published.
    DataError
        An entity column has no value, a value is not of its column's type, or a function fails.
    UnavailableError
        The online store does not answer.
    """
    found: list[Served] = []
    for member in service(project, name).members:
        if isinstance(member, OnDemand):
            found += _of_function(project, member, given)
        else:
            found += _served(member, *row_of(project, member, given), project.clock.now())
    return found


def _of_function(
    project: Project, function: OnDemand, given: Mapping[str, str]
) -> Iterator[Served]:
    if needs := missing(function, given):
        yield Served(feature=function.name, value=None, function=function.name, needs=needs)
        return
    for name, value in computed(project, function, given).items():
        yield Served(feature=name, value=value, function=function.name)


def _served(
    view: FeatureView, plan: ViewPlan, row: OnlineRow | None, now: datetime
) -> Iterator[Served]:
    at = None if row is None else datetime.fromtimestamp(row[0] / 1e6, UTC)
    old = row is not None and stale(view, row, now)
    values = {} if row is None or old else dict(zip(plan.columns, row[1], strict=True))
    for column in plan.columns if view.selected is None else view.selected:
        yield Served(
            feature=f"{view.name}{MARK}{column}",
            value=values.get(column),
            event_time=at,
            stale=old,
        )
