"""Training equals serving, by any policy: the join in the lake against the gateway's lookup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

import onward as ow
from onward.core.ports import OnlineRow
from onward.core.records import Column, FeaturePlan, OnDemandPlan, ViewPlan
from onward.stages.features.point_in_time import REFUSED, Joined, join, marks
from onward.stages.features.request import OnDemandFeatures
from onward.stages.serve.gateway.features.lookup import settle, wanted
from onward.stages.serve.gateway.models.views import readers
from onward.stages.serve.gateway.routing.job import Part
from onward.stages.serve.gateway.turn.predict import predict

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


def part_of(
    view: ViewPlan, held: Sequence[Row], moment: int, model: SimpleNamespace, rest: Any = ()
) -> Part:
    """A request's rows, one of each entity, with what was looked up for them."""
    newest: dict[Any, OnlineRow] = {}
    for entity, event, known, number, word in sorted(held, key=lambda row: row[1:3]):
        if max(event, known) <= moment:
            newest[entity] = (event, (number, word))
    arm: Any = SimpleNamespace(model=model)
    part = Part(arm, moment)
    part.units = [str(entity) for entity in ENTITIES]
    part.places = list(range(len(ENTITIES)))
    part.requests = [(entity, *rest) for entity in ENTITIES]
    [(_, entities)] = wanted([part])
    settle([part], [[newest.get(entity) for (entity,) in entities]])
    return part


def online(view: ViewPlan, held: Sequence[Row], moment: int) -> list[tuple[Any, ...] | None]:
    """What a request's row of each entity gets; None where it is refused."""
    request = (Column(name="entity", dtype="string"),)
    plan = FeaturePlan(columns=(), views=(view,), on_demand=(), request=request, key=("entity",))
    part = part_of(view, held, moment, SimpleNamespace(views=readers(plan)))
    refused = part.refused or {}
    return [None if place in refused else row for place, row in enumerate(part.looked_up)]


@given(view=policies, held=rows, moment=st.integers(0, 18))
@settings(max_examples=120, deadline=None)
def test_a_training_row_is_what_a_request_at_its_time_is_served(
    view: ViewPlan, held: list[Row], moment: int
) -> None:
    assert offline(view, held, moment) == online(view, held, moment)


@ow.feature_view(entity="entity")
def v(table):
    return table


@ow.on_demand(features=[v])
def beside(amount, v__number, v__word):
    return {"share": amount / v__number, "is_there": v__number.notna(), "word": v__word + "!"}


def reading(view: ViewPlan) -> FeaturePlan:
    """The plan of a model that takes `beside` alone."""
    return FeaturePlan(
        columns=(
            Column(name="share", dtype="double"), Column(name="is_there", dtype="double"),
            Column(name="word", dtype="string"),
        ),
        views=(view,),
        on_demand=(
            OnDemandPlan(
                name="beside", inputs=("amount",), outputs=("share", "is_there", "word"),
                features=(Column(name="v__number", dtype="double"),
                          Column(name="v__word", dtype="string")),
            ),
        ),
        request=(Column(name="entity", dtype="string"), Column(name="amount", dtype="double")),
        key=("entity",),
    )  # fmt: skip


@given(
    view=policies,
    held=rows,
    moment=st.integers(0, 18),
    amount=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
@settings(max_examples=60, deadline=None)
def test_an_on_demand_function_sees_the_same_of_a_view_in_both(
    view: ViewPlan, held: list[Row], moment: int, amount: float | None
) -> None:
    plan = reading(view)
    features = OnDemandFeatures(plan, (beside,))
    known = dict(enumerate(offline(view, held, moment)))
    trained = {place: row for place, row in known.items() if row is not None}
    numbers, words = zip(*trained.values(), strict=True) if trained else ((), ())
    sent, found = (
        pa.table({"entity": pa.array([ENTITIES[place] for place in trained], pa.string()),
                  "amount": pa.array([amount] * len(trained), pa.float64())}),
        pa.table({"v__number": pa.array(numbers, pa.float64()),
                  "v__word": pa.array(words, pa.string())}),
    )  # fmt: skip
    computed = features.columns(
        dict(zip(sent.column_names, sent.columns, strict=True)),
        dict(zip(found.column_names, found.columns, strict=True)),
    )

    def call(found: np.ndarray, texts: Any) -> np.ndarray:
        return np.zeros((len(found), 1))

    model = SimpleNamespace(
        plan=plan, views=readers(plan), strings=(2,), width=1, request_features=features, call=call
    )
    whole = part_of(view, held, moment, model, (amount,))
    served: dict[int, tuple[Any, ...]] = {}
    for part in whole.divided() if whole.refused else [whole]:
        if part.status == 200:
            predict(part.target, [part])
            assert part.computed is not None
            each = zip(part.places, part.computed, part.texts, strict=True)
            served |= {place: (*row[:2], *text) for place, row, text in each}
    assert served.keys() == trained.keys()
    for at, place in enumerate(trained):
        for name, value in zip(("share", "is_there", "word"), served[place], strict=True):
            np.testing.assert_equal(value, computed[name][at])
