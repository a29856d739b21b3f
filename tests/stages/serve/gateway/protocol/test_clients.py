"""Other projects' clients of the Open Inference Protocol understand the gateway."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import trained_models as small
from gateway_site import routes_of, serving

from onward.core.records import ImageRef

PYTHON = Path(__file__).parents[5] / ".venv-clients" / "bin" / "python"
ROWS = np.array([[0.1, 10.0, 20.0, 3.0, 12.0], [0.2, 5.0, 25.0, 3.2, 1.0]])
PROBABILITY = small.Linear(1.0).predict_proba(ROWS)[:, 1].tolist()
CLIENTS = ("triton http", "triton grpc", "kserve http", "kserve grpc")

pytestmark = pytest.mark.skipif(
    not PYTHON.exists() and "CI" not in os.environ,
    reason="`make test` installs the clients into .venv-clients",
)


@pytest.fixture(scope="module")
def found(
    tmp_path_factory: pytest.TempPathFactory, image: Callable[[str], ImageRef]
) -> dict[str, Any]:
    """What each client got."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kinds = ("plain", "text", "sorter")
    folder = tmp_path_factory.mktemp("clients")
    with serving(folder, *(routes_of((image(k), 100.0)) for k in kinds), grpc_port=port) as site:
        addresses = urlsplit(site.server.url).netloc, f"127.0.0.1:{port}"
        return {
            f"{client} {way}": got
            for client in ("triton", "kserve")
            for way, got in _ask(client, *addresses).items()
        }


def _ask(client: str, *addresses: str) -> dict[str, Any]:
    script = Path(__file__).with_name("foreign_clients.py")
    done = subprocess.run(
        [PYTHON, script, client, *addresses, "returns"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("client", CLIENTS)
def test_the_gateway_is_live_and_its_models_are_ready(found, client):
    got = found[client]
    assert (got["live"], got["ready"], got["model"]) == (True, True, True)
    assert got.get("version", True)
    assert not got.get("unknown")


@pytest.mark.parametrize("client", ["triton http", "triton grpc"])
def test_triton_gets_predictions_as_bytes(found, client):
    got = found[client]
    assert got["extensions"] == ["binary_tensor_data"]
    assert got["probability"] == pytest.approx(PROBABILITY, rel=1e-12)
    assert got["label"] == [1, 0]
    assert got["labels"] == ["small", "small"]
    assert got["named"] == pytest.approx([PROBABILITY[0] / 2, PROBABILITY[1]], rel=1e-6)
    status, message = got["error"]
    assert status in ("400", "StatusCode.INVALID_ARGUMENT")
    assert "there is no output 'odds'" in message


def test_triton_is_told_the_classes(found):
    assert json.loads(found["triton http"]["properties"]["classes"]) == ["large", "medium", "small"]


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_triton_may_compress(found, compression):
    assert found["triton http"][compression] == pytest.approx(PROBABILITY, rel=1e-6)


@pytest.mark.parametrize(
    ("client", "form"),
    [("kserve http", f) for f in ("json", "bytes")]
    + [("kserve grpc", f) for f in ("typed", "raw")],
)
def test_kserve_gets_predictions(found, client, form):
    assert found[client][form] == pytest.approx(PROBABILITY, rel=1e-12)
