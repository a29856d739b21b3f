"""One call of the model for all callers: each gets what it would get alone."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.stages.serve.gateway.routing.job import Part
from onward.stages.serve.gateway.routing.live import Target
from onward.stages.serve.gateway.turn.predict import predict

AT_US = 1_770_000_000_000_000
NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)


def part_of(target: Target, rows: list[tuple[str, float]]) -> Part:
    part = Part(target, AT_US)
    part.units = [store for store, _ in rows]
    part.requests = [(f"o{i}", s, a, NOON) for i, (s, a) in enumerate(rows)]
    part.looked_up = [(len(store) / 10, 2.0) for store, _ in rows]
    return part


callers = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "bb", "ccc"]),
            st.floats(0.5, 99) | st.sampled_from([-1.0, 2_500.0]),
        ),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(asked=callers)
def test_batched_equals_alone(target: Target, asked: list[list[tuple[str, float]]]) -> None:
    together = [part_of(target, rows) for rows in asked]
    predict(target, together)
    for part, rows in zip(together, asked, strict=True):
        alone = part_of(target, rows)
        predict(target, [alone])
        assert (part.status, part.error) == (alone.status, alone.error)
        if alone.output is None:
            assert part.output is None
        else:
            assert part.output is not None
            assert part.output.shape == (len(rows), 1)
            assert np.allclose(part.output, alone.output, rtol=1e-12, atol=0)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("array", [False, True])
def test_features_as_numbers_are_each_callers_own(
    target: Target, missing: bool, array: bool
) -> None:
    k = len(target.model.plan.columns)
    rows = [[float(at + i) for i in range(k)] for at in range(3)]
    parts = [Part(target, AT_US) for _ in rows]
    for part, row in zip(parts, rows, strict=True):
        part.units, part.numbers, part.texts = ["u"], list(row), [()]
    if missing:
        parts[1].numbers[0] = None  # type: ignore[index]  # a list
        rows[1][0] = float("nan")
    if array:
        parts[2].numbers = np.array(rows[2])
    predict(target, parts)
    for part, row in zip(parts, rows, strict=True):
        np.testing.assert_array_equal(part.computed, [row])
