"""Training equals serving, by any policy: the join in the lake against the gateway's lookup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.core.ports import OnlineRow
from onward.core.records import Column, FeaturePlan, ViewPlan
from onward.stages.features.point_in_time import REFUSED, Joined, join, marks
from onward.stages.serve.gateway.job import Part
from onward.stages.serve.gateway.lookup import readers, settle, wanted

EPOCH = datetime(2013, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")
ENTITIES = ("x", "y", None)

Row = tuple[str, int, int, float | None, str | None]
"""An entity, the event time and the time it was known in microseconds after `EPOCH`, features."""

rows = st.lists(
    st.tuples(
        st.sampled_from(ENTITIES[:2]), st.integers(0, 9), st.integers(0, 9),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.sampled_from(["a", "o'b"]),
    ),
    max_size=12,
    unique_by=lambda row: row[:3],
)  # fmt: skip
policies = st.builds(
    ViewPlan,
    name=st.just("v"),
    version=st.just(1),
    table=st.just("features.v_v1"),
    entity=st.just(("entity",)),
    columns=st.just(("number", "word")),
    ttl_s=st.none() | st.integers(1, 6).map(lambda us: us / 1e6),
    on_missing=st.sampled_from(["null", "default", "error"]),
    on_stale=st.sampled_from(["null", "default", "error", "last"]),
    defaults=st.just((-1.5, "it's none")),
)


def at(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def offline(view: ViewPlan, held: Sequence[Row], moment: int) -> list[tuple[Any, ...] | None]:
    """What a training row of each entity gets; None where it is left out."""
    entity, event, known, number, word = zip(*held, strict=True) if held else [()] * 5
    raw = pa.table(
        {
            "entity": pa.array(entity, pa.string()),
            "event_time": pa.array(map(at, event), TIME),
            "available_at": pa.array(map(at, known), TIME),
            "number": pa.array(number, pa.float64()),
            "word": pa.array(word, pa.string()),
        }
    )
    spine = pa.table(
        {
            "entity": pa.array(ENTITIES, pa.string()),
            "event_time": pa.array([at(moment)] * len(ENTITIES), TIME),
        }
    )
    with duckdb.connect() as connection:
        connection.register("raw", raw)
        connection.execute(f"CREATE TABLE v AS FROM ({marks('raw', ['entity'])})")
        found = join(connection, spine, [Joined(view=view, relation="v", marked=True)])
    refused = found[REFUSED].to_pylist() if REFUSED in found.column_names else [False] * 3
    values = zip(found["v__number"].to_pylist(), found["v__word"].to_pylist(), strict=True)
    return [None if no else row for no, row in zip(refused, values, strict=True)]


def online(view: ViewPlan, held: Sequence[Row], moment: int) -> list[tuple[Any, ...] | None]:
    """What a request's row of each entity gets; None where it is refused."""
    newest: dict[Any, OnlineRow] = {}
    for entity, event, known, number, word in sorted(held, key=lambda row: row[1:3]):
        if max(event, known) <= moment:
            newest[entity] = (event, (number, word))
    request = (Column(name="entity", dtype="string"),)
    plan = FeaturePlan(columns=(), views=(view,), on_demand=(), request=request, key=("entity",))
    part: Any = Part(SimpleNamespace(model=SimpleNamespace(views=readers(plan))), moment)
    part.units = [str(entity) for entity in ENTITIES]
    part.requests = [(entity,) for entity in ENTITIES]
    [(_, entities)] = wanted([part])
    settle([part], [[newest.get(entity) for (entity,) in entities]])
    refused = part.refused or {}
    return [None if place in refused else row for place, row in enumerate(part.looked_up)]


@given(view=policies, held=rows, moment=st.integers(0, 18))
@settings(max_examples=120, deadline=None)
def test_a_training_row_is_what_a_request_at_its_time_is_served(
    view: ViewPlan, held: list[Row], moment: int
) -> None:
    assert offline(view, held, moment) == online(view, held, moment)
