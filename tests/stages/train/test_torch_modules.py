"""A training function may return a PyTorch module: kept by value, asked alike, served on a thread.

`make test-torch` runs this in an environment that has PyTorch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onward as ow
from onward.core.errors import DeclarationError, OnwardError
from onward.core.records import Candidate, ModelRef
from onward.infra.compute.local import LocalCompute
from onward.stages.deploy.step import package
from onward.stages.serve.gateway.handlers.explaining import explainer
from onward.stages.serve.gateway.models.image import MODEL_FOLDER, unpack
from onward.stages.serve.gateway.models.model import ServedModel, load
from onward.stages.train.module import ModuleFunction
from onward.stages.train.pickling import pickled
from onward.stages.train.step import train

torch = pytest.importorskip("torch", reason="PyTorch is not installed: `make test-torch`")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def network(X, y, ends: Any, width: int = 1) -> Any:
    """A small network, fitted for a few steps; what is missing counts as the mean."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self, mean: Any) -> None:
            super().__init__()
            self.mean = mean
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(len(mean), 8),
                torch.nn.BatchNorm1d(8),
                torch.nn.Dropout(0.2),
                torch.nn.ReLU(),
                torch.nn.Linear(8, width),
            )

        def forward(self, rows: Any) -> Any:
            whole = torch.where(torch.isnan(rows), self.mean, rows)
            return ends(self.layers(whole - self.mean))

    torch.manual_seed(0)
    rows = torch.tensor(X.to_numpy(), dtype=torch.float32)
    module = Network(torch.nanmean(rows, dim=0))
    steps = torch.optim.Adam(module.parameters(), lr=0.05)
    wanted = torch.tensor(np.asarray(y.factorize(sort=True)[0]), dtype=torch.float32)
    for _ in range(20):
        steps.zero_grad()
        found = module(rows)
        loss = ((found.reshape(len(rows), -1)[:, -1] - (wanted > 0).float()) ** 2).mean()
        loss.backward()
        steps.step()
    return module


def binary(X, y):
    import torch

    return network(X, y, torch.sigmoid)


def multiclass(X, y):
    import torch

    return network(X, y, lambda found: torch.softmax(found, dim=1), width=3)


def regression(X, y):
    return network(X, y, lambda found: found.squeeze(-1))


def logits(X, y):
    return network(X, y, lambda found: 10 * found - 5)


def pair(X, y):
    import torch

    class Pair(torch.nn.Module):
        def forward(self, rows):
            return rows, rows

    return Pair()


def gappy(X, y):
    import torch

    class Mean(torch.nn.Module):
        def forward(self, rows):
            return torch.sigmoid(rows.mean(dim=1))

    return Mean()


TASKS = {"binary": binary, "multiclass": multiclass, "regression": regression}


@pytest.fixture
def fit(make_training, inline, tracker, request_features, folder):
    def run(function, task="binary", compute=inline, **options):
        model = ow.model(features=[], label=None, task=task, **options)(function)
        chosen = Candidate(model=model.name, parameters=model.parameters, origin="defaults")
        return train(
            model, make_training(task), chosen, request_features, compute=compute,
            tracker=tracker, folder=folder, commit=None, run="r1",
        )  # fmt: skip

    return run


def served(folder: Path, trained: Any) -> ServedModel:
    ref = ModelRef(
        name=trained.model, version=1, path=trained.path, digest=trained.digest,
        trained=trained.ref, card="",
    )  # fmt: skip
    image = package(ref, folder=folder / "images")
    return load((unpack(image, folder / "unpacked") / MODEL_FOLDER).parent)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("runtime", [None, "onnx"])
def test_a_module_is_served_on_one_thread_and_each_caller_s_answers_are_their_own(
    fit, tmp_path, task, runtime
):
    trained = fit(TASKS[task], task, runtime=runtime)
    model = served(tmp_path, trained)
    assert model.runtime == (runtime or "torch")
    assert model.width == (3 if task == "multiclass" else 1)
    assert torch.get_num_threads() == 1
    assert json.loads((Path(trained.path) / "golden.json").read_text())["tolerance"] == 1e-5
    numbers = st.floats(-30, 30, width=32) | st.just(float("nan"))

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=6))
    def alone_is_batched(rows):
        together = model.call(np.array(rows), [])
        alone = [model.call(np.array([row]), [])[0] for row in rows]
        assert together == pytest.approx(np.array(alone), rel=1e-5, abs=1e-5)
        asked = model.estimator.function(np.array(rows)).reshape(len(rows), -1)
        assert together == pytest.approx(asked, rel=1e-5, abs=1e-5)

    alone_is_batched()
    with pytest.raises(OnwardError, match="it is a PyTorch module, known by its answers alone"):
        explainer(model)


def test_the_same_inputs_give_the_same_bytes_in_two_processes(fit, folder):
    first = fit(binary, compute=LocalCompute())
    before = {p.name: p.read_bytes() for p in Path(first.path).iterdir()}
    for record in folder.glob("*.json"):
        record.unlink()
    again = fit(binary, compute=LocalCompute())
    assert {p.name: p.read_bytes() for p in Path(again.path).iterdir()} == before
    assert not cloudpickle.loads(before["model.pkl"]).function.module.training
    assert "torch==" in before["requirements.txt"].decode()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (logits, r"answered held-out row \d+ with -?\d+"),
        (pair, r"forward\(\) gave tuple, not a tensor"),
        (gappy, r"answered held-out row \d+ with nan"),
    ],
)
def test_what_a_module_may_not_give_is_refused_at_training(fit, function, said, folder):
    with pytest.raises(DeclarationError, match=said) as caught:
        fit(function)
    assert caught.value.location.line == function.__code__.co_firstlineno
    assert not folder.exists()


def test_text_is_none_of_a_module_s():
    import pandas as pd

    module = ModuleFunction(torch.nn.Linear(2, 1))
    with pytest.raises(ValueError, match="there is text among a, b"):
        module(pd.DataFrame({"a": [1.0], "b": ["x"]}))


def test_tensors_of_every_kind_come_back_as_they_were():
    kinds = [torch.float16, torch.float64, torch.int64, torch.bool, torch.bfloat16]
    tensors = [torch.arange(6).reshape(2, 3).t().to(kind) for kind in kinds]
    for tensor, again in zip(tensors, cloudpickle.loads(pickled(tensors)), strict=True):
        assert again.dtype == tensor.dtype
        assert torch.equal(again, tensor)
