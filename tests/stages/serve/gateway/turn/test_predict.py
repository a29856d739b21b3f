"""One call of the model for all callers: each gets what it would get alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import trained_models as small
from gateway_site import routes_of
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.stages.deploy.step import package
from onward.stages.serve.gateway.models.image import MODEL_FOLDER, unpack
from onward.stages.serve.gateway.models.model import load
from onward.stages.serve.gateway.routing.job import Part
from onward.stages.serve.gateway.routing.live import Live, Target
from onward.stages.serve.gateway.turn.predict import predict

AT_US = 1_770_000_000_000_000
NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """A model that breaks on an amount above 1,000, and refuses a negative one."""
    folder: Path = tmp_path_factory.mktemp("predict")
    trained = small.train(folder / "trained", small.Linear(1.0, breaks_above=1_000.0))
    image = package(trained, folder=folder / "images")
    model = load((unpack(image, folder / "unpacked") / MODEL_FOLDER).parent)
    return Live(routes_of((image, 100.0)), "", {image.digest: model}).champion


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
