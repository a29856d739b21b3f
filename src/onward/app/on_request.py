"""On-demand functions for one request that a person writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from onward.app.entity import as_stored, columns, row_of, stale
from onward.core.records import Column, ViewPlan
from onward.stages.features.columns import TIME
from onward.stages.features.on_demand import MARK, OnDemand

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.ports.features import OnlineRow
    from onward.stages.features.config import FeatureView


def missing(function: OnDemand, given: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a function reads of a request, its views' entities too, and is not given."""
    entities = [column for view in function.views for column in view.entity]
    return tuple(c for c in dict.fromkeys((*function.request, *entities)) if c not in given)


def computed(
    project: Project, function: OnDemand, given: Mapping[str, str]
) -> Mapping[str, float | str | None]:
    """Return what a function gives for a request, by name; None for what is missing.

    What it reads of views is as the view's policy has it. Where that refuses a request, there is
    nothing but the function's own name.

    Parameters
    ----------
    given
        Its request's columns, and the entities of its views, as text.

    Raises
    ------
    DataError
        A value is not of its column's type, or the function fails.
    """
    from onward.stages.features.request import answer

    asked, values = _request(project, function, given)
    for view in function.views:
        plan, row = row_of(project, view, given)
        found = _by_policy(view, plan, row, project.clock.now())
        if found is None:
            return {function.name: None}
        types = {c.name: c.dtype for c in columns(project, plan)}
        for name in function.read_of(view.name):
            column = f"{view.name}{MARK}{name}"
            dtype = "string" if types[name] == "string" else "double"
            asked.append(Column(name=column, dtype=dtype))
            values[column] = found.get(name)
    return answer(function, asked, values)


def _request(
    project: Project, function: OnDemand, given: Mapping[str, str]
) -> tuple[list[Column], dict[str, Any]]:
    """Return a request's columns that a function reads, and their values.

    A column's type is what the champion's requests have; of others, what the text looks like.
    """
    known = {column.name: column.dtype for column in _champions(project)}
    asked: list[Column] = []
    values: dict[str, Any] = {}
    for name in function.request:
        text = as_stored(project, name, given[name])
        dtype = known.get(name) or _looks(text)
        asked.append(Column(name=name, dtype=dtype))
        values[name] = text if dtype in ("string", TIME) else _json(text)
    return asked, values


def _champions(project: Project) -> Sequence[Column]:
    from onward.flow.plans import plan_of
    from onward.flow.release.releases import champion

    serving = champion(project.ledger, project.definition.model)
    return () if serving is None else plan_of(serving.model).request


def _looks(text: str) -> str:
    found = _json(text)
    if isinstance(found, (bool, int, float)):
        return "bool" if isinstance(found, bool) else "double"
    try:
        return "string" if datetime.fromisoformat(text).tzinfo is None else TIME
    except ValueError:
        return "string"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _by_policy(
    view: FeatureView, plan: ViewPlan, row: OnlineRow | None, now: datetime
) -> Mapping[str, Any] | None:
    """Return what a request gets of a view: its row, or what stands in; None where it is refused.

    As `onward.stages.serve.gateway.features.lookup` has it.
    """
    if row is not None and not stale(view, row, now):
        return dict(zip(plan.columns, row[1], strict=True))
    policy = view.on_missing if row is None else view.on_stale
    if policy == "last" and row is not None:
        return dict(zip(plan.columns, row[1], strict=True))
    return None if policy == "error" else view.defaults if policy == "default" else {}
