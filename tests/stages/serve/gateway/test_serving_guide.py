"""The guide to serving: its calls, made to a gateway."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trained_models as small
from gateway_site import Site, routes_of, serving
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from marked_pages import guide
from onward.app.settings.sources import read_settings
from onward.stages.deploy.step import package
from onward.surfaces.cli.commands import cli

ROOT = Path(__file__).parents[4]
GUIDE = guide("serving")
CLIENTS = ROOT / ".venv-clients" / "bin" / "python"


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, int]]:
    """A gateway with the guide's model, and its port for gRPC."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("guided")
    trained = small.train(folder / "trained", LogisticRegression())
    image = package(trained, folder=folder / "images")
    with serving(folder, routes_of((image, 100.0)), grpc_port=port) as site:
        yield site, port


def said(guided: tuple[Site, int], text: str) -> str:
    """Return the text with the addresses of this gateway."""
    site, port = guided
    address = urlsplit(site.server.url).netloc
    return text.replace("localhost:8080", address).replace("localhost:8081", f"127.0.0.1:{port}")


def shell(guided: tuple[Site, int], name: str, **variables: str) -> Any:
    done = subprocess.run(
        ["bash", "-euc", said(guided, GUIDE.block(name))],
        env={**os.environ, **variables}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_rows_and_feedback_on_them(guided):
    [prediction] = shell(guided, "predict")["predictions"]
    assert (prediction["unit"], prediction["arm"]) == ("o-17", "champion")
    taken = shell(guided, "feedback", ID=prediction["id"])["feedback"]
    assert [told["name"] for told in taken] == ["label", "reward"]


def test_tensors(guided):
    answer = shell(guided, "infer")
    assert answer["id"] == "o-17"
    assert [output["name"] for output in answer["outputs"]] == ["probability"]


def test_explanations(guided):
    [explained] = shell(guided, "explain")["explanations"]
    assert explained["unit"] == "o-17"
    assert "amount" in explained["contributions"]


def test_mlflows_protocol(guided):
    assert shell(guided, "invocations")["predictions"][0] in (0, 1)


@pytest.mark.skipif(
    not CLIENTS.exists() and "CI" not in os.environ,
    reason="`make test` installs the clients into .venv-clients",
)
@pytest.mark.parametrize("name", ["triton", "grpc"])
def test_tritons_client(guided, name):
    done = subprocess.run(
        [CLIENTS, "-c", said(guided, GUIDE.block(name))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.match(r"\[0\.\d+\]", done.stdout)


def test_what_it_sets_is_understood(tmp_path):
    (tmp_path / "onward.toml").write_text(GUIDE.block("grpc-settings"))
    assert read_settings(tmp_path, environment={}).gateway.grpc_port == 8081


def test_its_options_exist():
    shown = CliRunner().invoke(cli, ["feedback", "--help"], env={"COLUMNS": "200"}).output
    for option in re.findall(r"--[a-z]+", GUIDE.block("feedback-cli")):
        assert option in shown
