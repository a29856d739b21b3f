"""MLflow's own client asks the gateway, and its own server answers alike, on the same model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pandas as pd
import pytest
import trained_models as small
from gateway_site import Site, routes_of, serving
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from test_invocations import FEATURES, NAMES, forms

from onward.stages.deploy.step import package

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and its libraries'

FRAME = pd.DataFrame(FEATURES, columns=NAMES)


@dataclass
class Both:
    """A gateway and MLflow's scoring server, with one model."""

    site: Site
    theirs: Any
    estimator: Any

    def ask(self, content: Any, kind: str) -> tuple[httpx.Response, httpx.Response]:
        """Return the gateway's answer, and MLflow's."""
        sent: dict[str, Any] = {"headers": {"Content-Type": kind}, "content": content}
        return tuple(c.post("/invocations", **sent) for c in (self.site.client, self.theirs))


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def both(request, tmp_path_factory) -> Iterator[Both]:
    import mlflow
    from mlflow.pyfunc import scoring_server
    from starlette.testclient import TestClient

    folder, task = tmp_path_factory.mktemp("mlflow"), request.param
    made = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    estimator = made(max_iter=5, min_samples_leaf=3)
    image = package(small.train(folder / "t", estimator, task=task), folder=folder / "images")
    mlflow.sklearn.save_model(estimator, folder / "theirs", serialization_format="cloudpickle")
    with (
        TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(folder / "theirs")))) as theirs,
        serving(folder, routes_of((image, 100.0))) as site,
    ):
        yield Both(site, theirs, estimator)


def alike(answers: list[Any]) -> Any:
    """Return what labels are equal to, and values within rounding."""
    return pytest.approx(answers) if isinstance(answers[0], float) else answers


def test_its_client_gets_its_predictions(both: Both) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    address = urlsplit(both.site.server.url)
    client = ScoringServerClient(address.hostname, address.port)
    client.wait_server_ready()
    client.ping()
    assert client.get_version()
    wanted = both.estimator.predict(FRAME).tolist()
    for data in (FRAME, FRAME.to_numpy()):
        given = client.invoke(data).get_predictions("ndarray").tolist()
        assert given == alike(wanted)
    with pytest.raises(Exception, match=r"error code 400.*inputs are missing"):
        client.invoke(FRAME[NAMES[:2]])


def test_its_server_answers_the_same(both: Both) -> None:
    bodies = [*forms(NAMES, FEATURES), ({"inputs": FEATURES}, ""), ({"instances": FEATURES}, "")]
    compared = 0
    for body, kind in bodies:
        content = body if isinstance(body, str) else json.dumps(body)
        ours, theirs = both.ask(content, kind or "application/json")
        assert ours.status_code == 200, ours.text
        if theirs.status_code == 200:  # a form that scikit-learn cannot take is an error there
            assert ours.json()["predictions"] == alike(theirs.json()["predictions"])
            compared += 1
    assert compared >= 4


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ("{", "application/json", 400),
        ("{}", "application/json", 400),
        ('{"inputs": [[1.0]], "instances": [[1.0]]}', "application/json", 400),
        ("a,b\n1,2\n", "text/csv", 400),
        ("<a/>", "text/xml", 415),
    ],
)
def test_its_server_refuses_the_same(both: Both, content: str, kind: str, status: int) -> None:
    ours, theirs = both.ask(content, kind)
    assert (ours.status_code, theirs.status_code) == (status, status)
    if status == 400:
        assert ours.json()["error_code"] == theirs.json()["error_code"] == "BAD_REQUEST"
        assert ours.json()["message"]
