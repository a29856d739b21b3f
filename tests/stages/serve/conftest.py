"""Images made in small, and a gateway that serves them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import trained_models as small
from gateway_site import Site, routes_of, serving

from onward.core.records import ImageRef
from onward.stages.deploy.step import package

ESTIMATORS = {
    "plain": lambda: (small.Linear(1.0), {}),
    "better": lambda: (small.Linear(1.5), {"version": 2}),
    "brittle": lambda: (small.Linear(2.0, breaks_above=5_000), {"version": 2}),
    "text": lambda: (small.Named(1.0), {"plan": small.TEXT_PLAN, "name": "named"}),
    "sorter": lambda: (small.Sorter(), {"task": "multiclass", "name": "sorter"}),
    "pricer": lambda: (small.Pricer(), {"task": "regression", "name": "pricer"}),
}


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ImageRef]:
    """Make an image of one of `ESTIMATORS`, once per session."""
    folder = tmp_path_factory.mktemp("images")
    made: dict[str, ImageRef] = {}

    def make(kind: str) -> ImageRef:
        if kind not in made:
            estimator, options = ESTIMATORS[kind]()
            trained = small.train(folder / "trained" / kind, estimator, **options)
            made[kind] = package(trained, folder=folder / "images" / kind)
        return made[kind]

    return make


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, image: Callable[[str], ImageRef]
) -> Iterator[Site]:
    """A gateway with four models, shared by a module's tests."""
    kinds = ("plain", "text", "sorter", "pricer")
    folder = tmp_path_factory.mktemp("site")
    with serving(folder, *(routes_of((image(kind), 100.0)) for kind in kinds)) as opened:
        yield opened
