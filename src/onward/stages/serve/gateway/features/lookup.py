"""Features of views at request time: what a tick asks the online store, and what a row gets.

A view's policy says what stands in for a row that is missing, or older than the view's time to
live; training sets are made by the same policy (`stages/features/point_in_time.py`). A store
that does not answer is another matter: its silence says nothing about the entity, so the rows are
refused, whatever the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from onward.core.errors import OnwardError
from onward.core.ports import Lookup, OnlineRow
from onward.core.records import ViewPlan
from onward.stages.serve.gateway.models.views import ViewReader
from onward.stages.serve.gateway.routing.job import Part

UNAVAILABLE: Final = 503
_EVER: Final = -(2**63)  # microseconds: before any row


def wanted(parts: Sequence[Part]) -> list[Lookup]:
    """Return what to ask the store for an arm's parts: a lookup for each of its views."""
    rows = [row for part in parts for row in part.requests or ()]
    return [(reader.view, reader.entities(rows)) for reader in parts[0].target.model.views]


def settle(parts: Sequence[Part], found: Sequence[Sequence[OnlineRow | None]]) -> None:
    """Give an arm's parts what was found for each of its views, by the views' policies.

    Sets each part's `looked_up`, and, where something stood in for a fresh row, `marks` and
    `refused`.
    """
    for number, (reader, rows) in enumerate(zip(parts[0].target.model.views, found, strict=True)):
        end = 0
        for part in parts:
            begin, end = end, end + len(part.units)
            values = _values(reader, part, rows[begin:end])
            if number:
                values = [a + b for a, b in zip(part.looked_up, values, strict=True)]
            part.looked_up = values


def _values(
    reader: ViewReader, part: Part, rows: Sequence[OnlineRow | None]
) -> list[tuple[Any, ...]]:
    oldest = _EVER if reader.ttl_us is None else part.at_us - reader.ttl_us
    return [
        row[1] if row is not None and row[0] >= oldest else _instead(reader, part, place, row)
        for place, row in enumerate(rows)
    ]


def _instead(reader: ViewReader, part: Part, place: int, row: OnlineRow | None) -> tuple[Any, ...]:
    """Return what the view's policy gives for a row that is missing or stale, and mark it."""
    view = reader.view
    why, policy = ("missing", view.on_missing) if row is None else ("stale", view.on_stale)
    if part.marks is None:
        part.marks = [None] * len(part.units)
    part.marks[place] = {**(part.marks[place] or {}), view.name: f"{why}:{policy}"}
    if policy == "last" and row is not None:
        return row[1]
    if policy == "default":
        return view.defaults or reader.nothing
    if policy == "error":
        if part.refused is None:
            part.refused = {}
        [entity] = reader.entities([(part.requests or ())[place]])
        part.refused.setdefault(place, _refusal(view, entity, row, part.at_us))
    return reader.nothing


def _refusal(view: ViewPlan, entity: Sequence[Any], row: OnlineRow | None, at_us: int) -> str:
    who = ", ".join(f"{n}={v!r}" for n, v in zip(view.entity, entity, strict=True))
    if row is None:
        return f"{view.ref} has no row for {who}, and its on_missing is 'error'"
    age = (at_us - row[0]) / 1_000_000
    return (
        f"the row of {view.ref} for {who} is {age:,.0f} s old, its time to live is"
        f" {view.ttl_s:,.0f} s, and its on_stale is 'error'"
    )


def silent(error: Exception) -> str:
    """Return the words for a store that did not answer."""
    return error.what if isinstance(error, OnwardError) else f"the online store failed: {error!r}"
