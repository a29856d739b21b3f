"""Explanations: exact, or refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trained_models as small
from gateway_site import Site, routes_of, serving
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from onward.core.errors import OnwardError
from onward.stages.deploy.step import package
from onward.stages.serve.gateway.handlers.aside import Aside
from onward.stages.serve.gateway.handlers.calls import error_body
from onward.stages.serve.gateway.handlers.explaining import explainer
from onward.stages.serve.gateway.models.image import MODEL_FOLDER, unpack
from onward.stages.serve.gateway.models.model import ServedModel, load
from onward.stages.serve.gateway.protocol.content import RefusedError
from onward.stages.serve.gateway.routing.job import Job
from onward.stages.serve.gateway.settings import TelemetryConfig
from onward.stages.serve.log.reader import find

pytestmark = pytest.mark.filterwarnings("ignore")  # shap's and its libraries'

NAMES = [c.name for c in small.PLAN.columns]


def served(folder: Path, estimator: Any, **options: Any) -> ServedModel:
    image = package(small.train(folder / "trained", estimator, **options), folder=folder / "images")
    return load((unpack(image, folder / "cache") / MODEL_FOLDER).parent)


@pytest.fixture
def one(tmp_path: Path) -> ServedModel:
    return served(tmp_path, LogisticRegression())


@pytest.mark.parametrize(
    ("estimator", "task", "scale"),
    [
        (LogisticRegression(), "binary", "log-odds"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "binary", "log-odds"),
        (HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=3), "binary", "log-odds"),
        (RandomForestClassifier(8, random_state=0), "binary", "probability"),
        (Ridge(), "regression", "value"),
        (HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=3), "regression", "value"),
    ],
)  # fmt: skip
def test_base_and_contributions_add_up_to_the_margin(tmp_path, estimator, task, scale):
    model = served(tmp_path, estimator, task=task)
    made = explainer(model)
    assert made.scale == scale
    rows = np.random.default_rng(3).uniform(0, 30, (20, len(NAMES)))
    base, contributions = made.shapley(rows, [()] * 20)
    margin = base[0] + contributions[:, :, 0].sum(axis=1)
    if scale == "log-odds":
        found = model.estimator.decision_function(rows)
    else:
        found = model.call(rows, [()] * 20)[:, 0]
    assert margin == pytest.approx(found, rel=1e-5, abs=1e-5)
    assert np.abs(contributions).max() > 0


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=1000),
        HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=3),
        RandomForestClassifier(8, random_state=0),
    ],
)
def test_each_class_has_its_own_contributions(one, estimator):
    rows = np.random.default_rng(4).normal(size=(60, len(NAMES)))
    estimator.fit(rows, np.digitize(rows[:, 2], [-0.4, 0.4]))
    model = replace(
        one, task="multiclass", width=3, labels=(0, 1, 2),
        estimator=estimator, background=(rows, [()] * 60),
        call=lambda numbers, _: estimator.predict_proba(numbers),
    )  # fmt: skip
    made = explainer(model)
    base, contributions = made.shapley(rows[:5], [()] * 5)
    margins = base + contributions.sum(axis=1)
    wanted = estimator.predict_proba(rows[:5])
    if made.scale == "log-odds":
        margins = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    assert margins == pytest.approx(wanted, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: replace(m, estimator=KNeighborsClassifier()), "it is a KNeighborsClassifier"),
        (lambda m: replace(m, estimator=_behind(PCA(5), m)), "PCA mixes columns"),
        (lambda m: replace(m, call=lambda n, _: np.zeros((len(n), 1))), "do not add up"),
        (lambda m: replace(m, call=lambda n, _: np.zeros((len(n), 2))), "do not add up"),
    ],
)
def test_what_has_no_exact_explanation_is_refused(one, change, reason):
    with pytest.raises(RefusedError, match=reason) as refused:
        explainer(change(one))
    assert refused.value.status == 501
    assert isinstance(refused.value, OnwardError)


def _behind(transformer: Any, model: ServedModel) -> Any:
    rows, _ = model.background
    return make_pipeline(transformer, LogisticRegression()).fit(rows, rows[:, 2] > 10)


WORDS = OneHotEncoder(handle_unknown="ignore", sparse_output=False)


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(
            ColumnTransformer([("words", WORDS, ["part_of_day"])], remainder="passthrough"),
            HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=3),
        ),
        make_pipeline(
            ColumnTransformer(
                [("scaled", StandardScaler(), slice(1, 5)), ("words", WORDS, [5])],
                remainder="drop",
            ),
            LogisticRegression(),
        ),
    ],
)
def test_encoded_columns_add_to_the_column_that_they_were_made_of(tmp_path, estimator):
    model = served(tmp_path, estimator, plan=small.TEXT_PLAN)
    made = explainer(model)
    numbers, _ = model.background
    texts = [("am",), ("pm",)] * (len(numbers) // 2)
    base, contributions = made.shapley(numbers, texts)
    assert contributions.shape == (len(numbers), 6, 1)
    margin = base[0] + contributions.sum(axis=(1, 2))
    found = model.call(numbers, texts)[:, 0]
    assert 1 / (1 + np.exp(-margin)) == pytest.approx(found, rel=1e-5)


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway with a model that can be explained, one of classes, and one that cannot be."""
    folder = tmp_path_factory.mktemp("explained")
    trees = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=3)
    sizes = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=3)
    trained = [
        small.train(folder / "returns", trees),
        small.train(folder / "sizes", sizes, name="sizes", task="multiclass"),
        small.train(folder / "opaque", small.Linear(1.0), name="opaque"),
    ]
    images = [package(model, folder=folder / "images") for model in trained]
    told = TelemetryConfig(access_log=str(folder / "access.log"))
    routes = (routes_of((image, 100.0)) for image in images)
    with serving(folder, *routes, telemetry=told) as site:
        yield site


def explain(site: Site, rows: Any, path: str = "returns", **headers: str) -> Any:
    return site.client.post(f"/v2/models/{path}/explain", json={"rows": rows}, headers=headers)


@pytest.mark.parametrize("path", ["returns", "returns/versions/1"])
def test_rows_are_looked_up_predicted_logged_and_explained(explained, path):
    rows = small.rows(3)
    answer = explain(explained, rows, path)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["model"], body["scale"]) == ("returns", "log-odds")
    predicted = explained.predict(rows).json()["predictions"]
    for given, wanted in zip(body["explanations"], predicted, strict=True):
        assert given["output"] == wanted["output"]
        margin = given["base"] + sum(given["contributions"].values())
        assert 1 / (1 + np.exp(-margin)) == pytest.approx(given["output"], rel=1e-6)
        assert list(given["contributions"]) == list(given["features"]) == NAMES
        logged = find(explained.predictions, given["id"])
        assert (logged.arm, logged.unit) == ("direct", given["unit"])
        assert logged.features == given["features"]


def test_figures_of_several_classes_are_told_by_their_names(explained):
    classes = ["large", "medium", "small"]
    [given] = explain(explained, [small.rows(1)[0] | {"amount": 500.0}], "sizes").json()[
        "explanations"
    ]
    figures = [given["output"], given["base"], *given["contributions"].values()]
    assert all(list(one) == classes for one in figures)
    margins = [sum(one[name] for one in figures[1:]) for name in classes]
    powers = np.exp(margins)
    assert [*given["output"].values()] == pytest.approx(powers / powers.sum(), rel=1e-6)
    assert max(given["output"], key=given["output"].get) == "large"


@pytest.mark.parametrize(("path", "status"), [("returns", 200), ("opaque", 501)])
def test_an_explanation_is_told_of_by_what_came_of_it(explained, path, status):
    """Not by what the turn before it gave: that was a prediction."""
    answer = explain(explained, small.rows(1), path, **{"x-request-id": f"mine-{path}"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (status, f"mine-{path}")

    def line() -> Any:
        log = (explained.folder / "access.log").read_text().splitlines()
        return next((one for one in map(json.loads, log) if one["id"] == f"mine-{path}"), None)

    explained.until(lambda: line() is not None)
    assert (line()["status"], line()["bytes_out"]) == (status, len(answer.content))
    counted = f'onward_requests_total{{route="explain",status="{status}"}}'
    assert counted in explained.client.get("/metrics").text
    assert "onward_requests_waiting 0" in explained.client.get("/metrics").text


def test_work_whose_caller_waits_no_longer_is_not_done():
    job = Job(SimpleNamespace(hold=list, resume=list), route="explain", keep_alive=True)  # type: ignore[arg-type]
    job.deadline = job.started
    done: list[Job] = []

    async def within() -> None:
        aside = Aside(done.append, lambda *_: None, error_body)
        aside.before(job, lambda: pytest.fail("it was done"), lambda _: None)
        while not done:
            await asyncio.sleep(0)
        aside.close()

    asyncio.run(within())
    assert (job.status, job.parts) == (504, ())


def test_explanations_that_cannot_be(explained):
    assert explain(explained, small.rows(1), "opaque").status_code == 501
    too_many = explain(explained, small.rows(1) * 1_001)
    assert too_many.status_code == 413
    bad = explain(explained, [small.rows(1)[0] | {"amount": -1.0}])
    assert bad.status_code == 400
    assert "amount is negative" in bad.json()["error"]
    assert explain(explained, small.rows(1)).status_code == 200
