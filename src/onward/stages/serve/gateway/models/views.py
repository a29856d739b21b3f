"""The feature views that a model reads, ready for requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onward.core.records import FeaturePlan, ViewPlan


@dataclass(frozen=True, slots=True, eq=False)
class ViewReader:
    """A view of a plan, ready for requests.

    `places` are the entity's columns in the plan's request; `ttl_us` is in microseconds; `names`
    are the features as the plan names them.
    """

    view: ViewPlan
    places: tuple[int, ...]
    ttl_us: int | None
    names: tuple[str, ...]
    nothing: tuple[float | str | None, ...]

    def entities(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Return the entity that each of a request's rows is about."""
        if len(self.places) == 1:
            [place] = self.places
            return [(row[place],) for row in rows]
        return [tuple([row[place] for place in self.places]) for row in rows]


def readers(plan: FeaturePlan) -> tuple[ViewReader, ...]:
    """Return a reader for each of the plan's views, in its order."""
    at = {column.name: place for place, column in enumerate(plan.request)}
    return tuple(
        ViewReader(
            view=view,
            places=tuple(at[name] for name in view.entity),
            ttl_us=None if view.ttl_s is None else round(view.ttl_s * 1_000_000),
            names=tuple(f"{view.name}__{column}" for column in view.columns),
            nothing=(None,) * len(view.columns),
        )
        for view in plan.views
    )


def named(views: Sequence[ViewReader], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Return one or more rows of the views' features as columns, named as the plan names them."""
    names = (name for reader in views for name in reader.names)
    return dict(zip(names, zip(*rows, strict=True), strict=True))
