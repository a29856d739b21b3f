"""The Open Inference Protocol over gRPC, as grpcio speaks it."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trained_models as small
from gateway_site import Site, free_port, routes_of, serving
from rpc_calls import ROWS, matrix, request, tensor

from onward.core.errors import BusyError, DataError
from onward.core.ports import Secret
from onward.core.ports.callers import CALLERS_ENTRY, TOKENS
from onward.core.records import ImageRef
from onward.infra.secrets.chain import open_secrets
from onward.stages.serve.gateway.protocol.inference import Output
from onward.stages.serve.gateway.rpc import wire
from onward.stages.serve.gateway.rpc.proto import messages as pb
from onward.stages.serve.gateway.settings import CallerConfig, Factory
from onward.stages.serve.log.reader import find, read

NAMES = [c.name for c in small.PLAN.columns]


Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def rpc_site(
    tmp_path_factory: pytest.TempPathFactory, image: Callable[[str], ImageRef]
) -> Iterator[tuple[Site, int]]:
    port = free_port()
    folder = tmp_path_factory.mktemp("rpc")
    kinds = ("plain", "text", "sorter")
    routes = [routes_of((image(kind), 100.0)) for kind in kinds]
    with serving(folder, *routes, grpc_port=port) as site:
        yield site, port


@pytest.fixture
def ask(rpc_site: tuple[Site, int]) -> Iterator[Ask]:
    """Call a method of the service with a message."""
    with grpc.insecure_channel(f"127.0.0.1:{rpc_site[1]}") as channel:

        def call(method: str, message: Any, answer: Any, **options: Any) -> Any:
            return channel.unary_unary(
                f"/inference.GRPCInferenceService/{method}",
                request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
                response_deserializer=answer.FromString,
            )(message, timeout=options.pop("timeout", 20), **options)

        yield call


def expected(rows: np.ndarray) -> list[float]:
    return small.Linear(1.0).predict_proba(rows)[:, 1].tolist()


def refused(ask: Ask, message: Any, **options: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        ask("ModelInfer", message, pb.ModelInferResponse, **options)
    return error.value.code(), error.value.details()


def test_the_state_of_server_and_models(ask):
    assert ask("ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse).live
    assert ask("ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse).ready
    about = ask("ServerMetadata", pb.ServerMetadataRequest(), pb.ServerMetadataResponse)
    assert (about.name, list(about.extensions)) == ("onward", ["binary_tensor_data"])
    for version in ("", "1"):
        asked = pb.ModelReadyRequest(name="returns", version=version)
        assert ask("ModelReady", asked, pb.ModelReadyResponse).ready
        asked = pb.ModelMetadataRequest(name="named", version=version)
        found = ask("ModelMetadata", asked, pb.ModelMetadataResponse)
        assert [(t.name, t.datatype) for t in found.inputs][-1] == ("part_of_day", "BYTES")
        assert list(found.versions) == ["1"]


@pytest.mark.parametrize(("name", "version"), [("retruns", ""), ("returns", "9")])
def test_models_that_are_not_there(ask, name, version):
    asked = pb.ModelReadyRequest(name=name, version=version)
    assert not ask("ModelReady", asked, pb.ModelReadyResponse).ready
    asked = pb.ModelMetadataRequest(name=name, version=version)
    with pytest.raises(grpc.RpcError) as error:
        ask("ModelMetadata", asked, pb.ModelMetadataResponse)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    code, reason = refused(ask, matrix(model=name, model_version=version))
    assert code == grpc.StatusCode.NOT_FOUND
    assert "one of: 1" in reason if version else "did you mean 'returns'?" in reason


@pytest.mark.parametrize(
    ("name", "version"),
    [("returns/ready", ""), ("returns", "1/ready"), ("returns/versions/1", ""), ("returns?x", "")],
)
def test_a_name_is_no_path(ask, name, version):
    """Names become parts of HTTP's paths, where some letters mean something."""
    ready = pb.ModelReadyRequest(name=name, version=version)
    assert not ask("ModelReady", ready, pb.ModelReadyResponse).ready
    about = pb.ModelMetadataRequest(name=name, version=version)
    with pytest.raises(grpc.RpcError) as error:
        ask("ModelMetadata", about, pb.ModelMetadataResponse)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    assert repr(version or name) in error.value.details()


def test_typed_contents_are_answered_so(ask, rpc_site):
    message = matrix(id="i7", outputs=[{"name": "probability"}, {"name": "label"}])
    message.parameters["who"].string_param = "me"
    answer = ask("ModelInfer", message, pb.ModelInferResponse)
    probability, label = answer.outputs
    assert (answer.model_name, answer.model_version, answer.id) == ("returns", "1", "i7")
    assert list(probability.contents.fp64_contents) == pytest.approx(expected(ROWS), rel=1e-12)
    assert list(label.contents.int64_contents) == [1, 0]
    assert answer.parameters["who"].string_param == "me"
    ids = answer.parameters["prediction_ids"].string_param.split(",")
    logged = find(rpc_site[0].predictions, ids[1])
    assert (logged.unit, logged.output) == ("i7", probability.contents.fp64_contents[1])


def test_raw_contents_are_answered_so(ask):
    raw = [ROWS.astype("<f4").tobytes()]
    inputs = [tensor("input", [2, 5], "FP32")]
    answer = ask(
        "ModelInfer",
        request(*inputs, raw_input_contents=raw, model_version="1"),
        pb.ModelInferResponse,
    )
    assert answer.parameters["arm"].string_param == "direct"
    found = np.frombuffer(answer.raw_output_contents[0], "<f8")
    assert found == pytest.approx(expected(ROWS), rel=1e-6)
    assert np.frombuffer(answer.raw_output_contents[1], "<i8").tolist() == [1, 0]


def test_texts_both_ways(ask):
    inputs = [
        tensor(name, [2], "FP64", fp64_contents=ROWS[:, i].tolist()) for i, name in enumerate(NAMES)
    ]
    texts = tensor("part_of_day", [2], "BYTES", bytes_contents=[b"am", b"pm"])
    answer = ask("ModelInfer", request(*inputs, texts, model="named"), pb.ModelInferResponse)
    first, second = expected(ROWS)
    found = list(answer.outputs[0].contents.fp64_contents)
    assert found == pytest.approx([first / 2, second], rel=1e-12)
    sorted_ = ask("ModelInfer", matrix(model="sorter"), pb.ModelInferResponse)
    assert list(sorted_.outputs[1].contents.bytes_contents) == [b"small", b"small"]
    about = ask("ModelMetadata", pb.ModelMetadataRequest(name="sorter"), pb.ModelMetadataResponse)
    assert json.loads(about.properties["classes"]) == ["large", "medium", "small"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (request(tensor("input", [2, 5], "FP64", fp64_contents=[1.0])), "has 1 elements"),
        (request(tensor("input", [1, 5], "FP64", int_contents=[1])), "expected: fp64_contents"),
        (request(tensor("input", [1, 5], "FP16")), "expected: raw_input_contents"),
        (request(tensor("input", [1, 5], "TEXT")), "expected: raw_input_contents"),
        (request(tensor("i", [1, 5], "UINT8", uint_contents=[256] * 5)), "is not UINT8"),
        (matrix(raw_input_contents=[b""]), "1 inputs and 1 raw contents"),
        (request(raw_input_contents=[b"", b""]), "0 inputs and 2 raw contents"),
        (request(), "5 inputs are missing"),
        (b"\xff\xff", "no ModelInferRequest"),
    ],
)  # fmt: skip
def test_what_is_no_call_is_refused(ask, message, reason):
    code, details = refused(ask, message)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert reason in details


def test_the_callers_deadline_is_kept(ask):
    assert refused(ask, matrix(), timeout=0)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    late = (("onward-deadline-ms", "0"),)
    assert refused(ask, matrix(), metadata=late)[0] == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_request_too_large_is_refused(ask):
    rows = 9 << 20
    message = request(tensor("i", [1], "BYTES", bytes_contents=[bytes(rows)]))
    assert refused(ask, message)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_callers_are_known_by_every_protocol(tmp_path: Path, image: Callable[[str], ImageRef]):
    places = {"keyfile": str(tmp_path / "secrets.json"), "folder": str(tmp_path / "secrets")}
    open_secrets(**places).keep(TOKENS, Secret(f"ann {hashlib.sha256(b'ann').hexdigest()}"))
    callers = CallerConfig(
        knower=Factory(entry=CALLERS_ENTRY, arguments=places),
        roles={"caller": {"predict": ("returns",)}},
        members={"caller": ("ann",)},
    )
    port = free_port()
    routes = [routes_of((image(kind), 100.0)) for kind in ("plain", "sorter")]
    ann = (("authorization", "Bearer ann"),)
    with (
        serving(tmp_path, *routes, grpc_port=port, callers=callers) as site,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):

        def ask(method: str, message: Any, metadata: Any = ()) -> grpc.StatusCode:
            call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
            found = call.future(message.SerializeToString(), metadata=metadata, timeout=20)
            return found.code()

        asked = pb.ModelMetadataRequest(name="returns")
        for method, message in (
            ("ModelInfer", matrix()), ("ModelMetadata", asked),
            ("ServerMetadata", pb.ServerMetadataRequest()),
        ):  # fmt: skip
            assert ask(method, message) == grpc.StatusCode.UNAUTHENTICATED
        assert ask("ServerLive", pb.ServerLiveRequest()) == grpc.StatusCode.OK
        assert ask("ModelInfer", matrix(), ann) == grpc.StatusCode.OK
        assert ask("ModelMetadata", asked, ann) == grpc.StatusCode.OK
        refused = matrix(model="sorter")
        assert ask("ModelInfer", refused, ann) == grpc.StatusCode.PERMISSION_DENIED

        table = {"inputs": ROWS.tolist()}
        statuses = [
            site.client.post(f"/invocations{query}", json=table, headers=dict(ann)).status_code
            for query in ("?model=returns", "?model=sorter", "?model=sorter&x=1", "")
        ]
    assert statuses == [200, 403, 403, 403]


def test_a_taken_port_is_said(tmp_path: Path, image: Callable[[str], ImageRef]):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = serving(
            tmp_path, routes_of((image("plain"), 100.0)), grpc_port=holder.getsockname()[1]
        )
        with pytest.raises(BusyError, match=r"gateway.grpc_port in onward.toml"):
            taken.__enter__()


def test_calls_under_way_are_answered_before_the_end(
    tmp_path: Path, image: Callable[[str], ImageRef]
):
    port = free_port()
    with (
        serving(tmp_path, routes_of((image("plain"), 100.0)), grpc_port=port) as site,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        calls = [infer.future(matrix().SerializeToString(), timeout=20) for _ in range(50)]
        calls[0].result()
        site.server.stop()
        codes = [call.code() for call in calls]
    refused = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert set(codes) <= {grpc.StatusCode.OK, *refused}
    logged, _ = read(site.predictions)
    assert len(logged) == len(ROWS) * codes.count(grpc.StatusCode.OK)


def test_parameters_of_every_kind_come_back():
    given = {"a": True, "b": -3, "c": 2**63, "d": 1.5, "e": "x", "f": None}
    outputs = [Output("label", "BYTES", [1], ["x"])]
    data = wire.write(outputs, model="m", version=1, id="", parameters=given, raw=False)
    answer = pb.ModelInferResponse.FromString(data)
    asked = pb.ModelInferRequest(parameters=dict(answer.parameters))
    assert wire.read(asked).parameters == given
    with pytest.raises(DataError):
        wire.parse(b"\xff")
