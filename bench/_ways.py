"""How a server is asked, over HTTP or gRPC: what is sent, what is read of the answer, the load."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from bench._contest import AbsentError
from bench._load import Figures, load
from bench._model import NAME

PATIENCE_S: Final = 30.0


class Way(Protocol):
    """A protocol, as one server speaks it."""

    name: str

    def address(self, port: int) -> str:
        """Return where to ask a server on this port."""
        ...

    def request(self, rows: np.ndarray) -> bytes:
        """Return what is sent to have `rows`, shape (n, 20), predicted."""
        ...

    def ask(self, address: str, rows: np.ndarray) -> np.ndarray | None:
        """Ask once; return the probabilities, None from a limit that predicts nothing.

        Raises
        ------
        AbsentError
            It refuses.
        OSError
            Nobody listens, or there is no answer.
        """
        ...

    def load(self, address: str, body: Path, seconds: float, connections: int) -> Figures:
        """Send a body again and again; return what came of it."""
        ...


# ---------------------------------------------------------------- REST


def open_inference(rows: np.ndarray) -> bytes:
    """Return a request of the Open Inference Protocol: all rows as one tensor."""
    tensor = {"name": "input", "shape": [*rows.shape], "datatype": "FP64", "data": flat(rows)}
    return json.dumps({"inputs": [tensor]}).encode()


def open_inference_both(rows: np.ndarray) -> bytes:
    """The same, asking MLServer for probabilities, which it gives for both classes."""
    asked = json.loads(open_inference(rows)) | {"outputs": [{"name": "predict_proba"}]}
    return json.dumps(asked).encode()


def invocations(rows: np.ndarray) -> bytes:
    """Return a request to MLflow's scoring server."""
    return json.dumps({"inputs": rows.tolist()}).encode()


def flat(rows: np.ndarray) -> list[float]:
    return [float(value) for value in rows.ravel()]


def first_output(answer: Any) -> np.ndarray:
    found = answer["outputs"][0]
    return np.array(found["data"]).reshape(found["shape"])


def predictions(answer: Any) -> np.ndarray:
    return np.array(answer["predictions"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """JSON over HTTP/1.1.

    Parameters
    ----------
    reads
        Gets the probabilities out of an answer; None for a limit that predicts nothing.
    """

    path: str = "/infer"
    body: Callable[[np.ndarray], bytes] = open_inference
    reads: Callable[[Any], np.ndarray] | None = first_output
    name: str = "REST"

    def address(self, port: int) -> str:
        return f"http://127.0.0.1:{port}{self.path}"

    def request(self, rows: np.ndarray) -> bytes:
        return self.body(rows)

    def ask(self, address: str, rows: np.ndarray) -> np.ndarray | None:
        status, answer = post(address, self.body(rows))
        if status != 200:
            raise AbsentError(f"answers {status}: {answer[:200].decode(errors='replace')}")
        return None if self.reads is None else self.reads(json.loads(answer))

    def load(self, address: str, body: Path, seconds: float, connections: int) -> Figures:
        return load(address, body, seconds, connections)


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """POST JSON once; return the status and the answer."""
    where, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(where, timeout=PATIENCE_S)
    try:
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request("POST", f"/{path}", body, sent)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


# ---------------------------------------------------------------- gRPC


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """The Open Inference Protocol over gRPC, with raw contents, as Triton's client sends them.

    Parameters
    ----------
    outputs
        The outputs to ask for by name.
    echoes
        Whether it is a limit that sends back what it got.
    """

    outputs: tuple[str, ...] = ()
    echoes: bool = False
    name: str = "gRPC"

    def address(self, port: int) -> str:
        return f"127.0.0.1:{port}"

    def request(self, rows: np.ndarray) -> bytes:
        from onward.stages.serve.gateway.rpc.proto import messages as pb

        request = pb.ModelInferRequest(model_name=NAME)
        request.inputs.add(name="input", datatype="FP64", shape=rows.shape)
        request.raw_input_contents.append(rows.astype("<f8").tobytes())
        for output in self.outputs:
            request.outputs.add(name=output)
        body: bytes = request.SerializeToString()
        return body

    def ask(self, address: str, rows: np.ndarray) -> np.ndarray | None:
        import grpc

        from bench._rpc_load import METHOD

        with grpc.insecure_channel(address) as channel:
            try:
                answer = channel.unary_unary(METHOD)(self.request(rows), timeout=PATIENCE_S)
            except grpc.RpcError as error:
                code, details = error.code(), error.details()
                if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise ConnectionError(details) from None
                raise AbsentError(f"answers {code.name}: {details[:200]}") from None
        return None if self.echoes else _output(answer)

    def load(self, address: str, body: Path, seconds: float, connections: int) -> Figures:
        from bench import _rpc_load

        return _rpc_load.load(address, body, seconds, connections)


def _output(answer: bytes) -> np.ndarray:
    from onward.stages.serve.gateway.rpc.proto import messages as pb

    found = pb.ModelInferResponse.FromString(answer)
    tensor = found.outputs[0]
    if found.raw_output_contents:
        values = np.frombuffer(found.raw_output_contents[0], "<f8")
    else:
        values = np.array(tensor.contents.fp64_contents)
    return values.reshape(tensor.shape)
