"""The gateway does what the protocol's published description says, and its own; fuzzed."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest
import trained_models as small
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.core.version import VERSION
from onward.stages.serve.gateway.handlers import openapi
from onward.stages.serve.gateway.protocol.tensors import NUMBERS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its libraries'
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi import checks

pytestmark = pytest.mark.filterwarnings("ignore")

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
FUZZ = settings(
    max_examples=25, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
PUBLISHED = Path(__file__).with_name("oip") / "open_inference_rest.yaml"
NAMES = [c.name for c in small.PLAN.columns]


def published() -> Any:
    """Return the published description, of the models that the gateway of these tests serves."""
    description = yaml.safe_load(PUBLISHED.read_text().replace("${", "{"))
    for path in description["paths"].values():
        for parameter in path.get("parameters", ()):
            names = ["returns", "sorter", "pricer"]
            parameter["schema"]["enum"] = names if parameter["name"] == "MODEL_NAME" else ["1"]
    return schemathesis.openapi.from_dict(description)


def ours() -> Any:
    description = json.loads(openapi.description(VERSION))
    for path in description["paths"].values():
        for parameter in path.get("parameters", ()):
            known = {"model": ["returns", "sorter"], "version": ["1", "9"]}
            parameter["schema"]["enum"] = known[parameter["name"]]
    return schemathesis.openapi.from_dict(description)


def operations(description: Any) -> list[Any]:
    return [pytest.param(o.ok(), id=o.ok().label) for o in description.get_all_operations()]


def ask(site: Any, case: Any) -> httpx.Response:
    """Send a case and hold what comes back against the description."""
    sent = case.as_transport_kwargs(base_url=site.server.url)
    content = sent.get("data")
    if content is None and "json" in sent:
        content = json.dumps(sent["json"])
    answer = site.client.request(
        sent["method"], sent["url"], content=content, headers=sent.get("headers"),
        params=sent.get("params"),
    )  # fmt: skip
    case.validate_response(answer, checks=CHECKS)
    return answer


@pytest.mark.parametrize("operation", operations(published()))
@FUZZ
@given(data=st.data())
def test_it_does_what_the_published_description_says(site, operation, data):
    ask(site, data.draw(operation.as_strategy()))


@pytest.mark.parametrize("operation", operations(ours()))
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@FUZZ
@given(data=st.data())
def test_it_does_what_it_says_itself(site, operation, mode, data):
    if mode is GenerationMode.NEGATIVE and operation.method.upper() != "POST":
        return  # there is nothing to be wrong about
    ask(site, data.draw(operation.as_strategy(mode)))


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """Inference requests that hold what a model takes: a matrix, or a tensor for each column."""
    n = draw(st.integers(1, 3))
    kinds = st.sampled_from(sorted(NUMBERS))

    def tensor(name: str, shape: list[int], size: int) -> dict[str, Any]:
        datatype = draw(kinds)
        values: st.SearchStrategy[Any] = st.integers(0, 100)
        if datatype == "BOOL":
            values = st.booleans()
        elif datatype.startswith("FP"):
            values = st.floats(-1000, 1000, width=16) | st.none()
        data = draw(st.lists(values, min_size=size, max_size=size))
        return {"name": name, "shape": shape, "datatype": datatype, "data": data}

    if draw(st.booleans()):
        inputs = [tensor("x", [n, len(NAMES)], n * len(NAMES))]
    else:
        shape = draw(st.sampled_from([[n], [n, 1]]))
        inputs = [tensor(name, shape, n) for name in draw(st.permutations(NAMES))]
    call: dict[str, Any] = {"inputs": inputs}
    if draw(st.booleans()):
        call["id"] = draw(st.text(min_size=1, max_size=20))
    if draw(st.booleans()):
        call["parameters"] = draw(st.dictionaries(st.text(max_size=5), st.booleans() | st.text()))
        call["parameters"].pop("binary_data_output", None)
    if draw(st.booleans()):
        call["outputs"] = [{"name": draw(st.sampled_from(["label", "probability"]))}]
    return call


@FUZZ
@given(call=calls())
def test_what_a_model_takes_is_answered_by_the_published_description(site, call):
    [operation] = [
        o.ok() for o in published().get_all_operations() if o.ok().path.endswith("/infer")
    ]
    case = operation.Case(
        body=call,
        path_parameters={"MODEL_NAME": "returns", "MODEL_VERSION": "1"},
        media_type="application/json",
    )
    answer = ask(site, case)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.get("id") == call.get("id")
    assert [o["name"] for o in body["outputs"]] == (
        [o["name"] for o in call.get("outputs", ())] or ["probability", "label"]
    )
    assert (
        body["parameters"].items()
        >= {
            k: v
            for k, v in call.get("parameters", {}).items()
            if k not in ("prediction_ids", "arm")
        }.items()
    )


def test_the_description_is_served(site):
    answer = site.client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["info"]["version"] == VERSION
    served = set(answer.json()["paths"])
    assert {"/v2/models/{model}/infer", "/v2/models/{model}/explain", "/invocations"} <= served
