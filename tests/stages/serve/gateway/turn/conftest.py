"""What a turn is made for: one arm with a model."""

from __future__ import annotations

from pathlib import Path

import pytest
import trained_models as small
from gateway_site import routes_of

from onward.stages.deploy.step import package
from onward.stages.serve.gateway.models.image import MODEL_FOLDER, unpack
from onward.stages.serve.gateway.models.model import load
from onward.stages.serve.gateway.routing.live import Live, Target


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """A model that breaks on an amount above 1,000, and refuses a negative one."""
    folder: Path = tmp_path_factory.mktemp("predict")
    trained = small.train(folder / "trained", small.Linear(1.0, breaks_above=1_000.0))
    image = package(trained, folder=folder / "images")
    model = load((unpack(image, folder / "unpacked") / MODEL_FOLDER).parent)
    return Live(routes_of((image, 100.0)), "", {image.digest: model}).champion
