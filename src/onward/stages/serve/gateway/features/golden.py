"""An online store for staging, where there is no data: it holds what the golden rows came with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from onward.core.ports import Entity, Lookup, OnlineRow
from onward.core.records import FeaturePlan, ViewPlan

_AHEAD: Final = 2**62  # microseconds: a time that no request has passed


class GoldenStore:
    """The features of the golden rows' entities, as the last row about each of them has it."""

    def __init__(self, trained: Path) -> None:
        golden = json.loads((trained / "golden.json").read_bytes())
        planned = json.loads((trained / "plan.json").read_bytes())["plan"]
        plan = msgspec.convert(planned, FeaturePlan)
        at = {c.name: position for position, c in enumerate((*plan.columns, *plan.beside))}
        self._found: dict[tuple[str, Entity], tuple[Any, ...]] = {}
        for view in plan.views:
            places = [at.get(f"{view.name}__{column}") for column in view.columns]
            for row, vector, beside in zip(
                golden["rows"], golden["features"], golden["beside"], strict=True
            ):
                features = (*vector, *beside)
                values = tuple(None if place is None else features[place] for place in places)
                self._found[view.ref, _key(row[name] for name in view.entity)] = values

    @property
    def remote(self) -> bool:
        return False

    def read(self, lookups: Sequence[Lookup]) -> Sequence[Sequence[OnlineRow | None]]:
        """Return each entity's features, never too old; None for one no golden row is about."""
        return [[self._row(view, one) for one in entities] for view, entities in lookups]

    def _row(self, view: ViewPlan, entity: Entity) -> OnlineRow | None:
        values = self._found.get((view.ref, _key(entity)))
        return None if values is None else (_AHEAD, values)

    def mark(self, view: ViewPlan) -> None:
        """Return None: nothing was written here."""

    def close(self) -> None:
        """Hold nothing open."""


def _key(values: Iterable[Any]) -> Entity:
    """Return values that are equal for a golden row, which has times as text, and a request."""
    return tuple(v.isoformat() if isinstance(v, datetime) else v for v in values)
