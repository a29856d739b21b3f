"""What the gateway serves is held against what was decided."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from onward.app.gateway.serving import Gateway
from onward.stages.serve.routes import version_of


def settled(folder: Path, monkeypatch: pytest.MonkeyPatch, *routes: dict[str, Any]) -> str | None:
    (folder / "routes").mkdir()
    (folder / "routes" / "m.json").write_bytes(b"{}")
    shown = {"m": {"version": version_of(b"{}"), "refused": None, "routes": list(routes)}}
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, json=shown))
    server: Any = SimpleNamespace(url="http://gateway")
    return Gateway(server, folder).settle("m")


def test_shares_that_are_served_settle_it(tmp_path, monkeypatch):
    routes = (
        {"arm": "champion", "percent": 200 / 3, "served": 66.67},
        {"arm": "candidate", "percent": 100 / 3, "served": 33.33},
    )
    assert settled(tmp_path, monkeypatch, *routes) is None


def test_a_share_that_is_ignored_is_found_out(tmp_path, monkeypatch):
    routes = (
        {"arm": "champion", "percent": 90.0, "served": 100.0},
        {"arm": "candidate", "percent": 10.0, "served": 0.0},
    )
    found = settled(tmp_path, monkeypatch, *routes)
    assert found == "it gives champion 100 % instead of 90 %, candidate 0 % instead of 10 %"


def test_a_worker_that_dies_while_it_is_asked_is_not_the_gateway(tmp_path, monkeypatch):
    whole = {"arm": "champion", "percent": 100.0, "served": 100.0}
    answers = iter([httpx.ReadError("reset"), None])

    def get(*_: Any, **__: Any) -> httpx.Response:
        if (error := next(answers)) is not None:
            raise error
        shown = {"m": {"version": version_of(b"{}"), "refused": None, "routes": [whole]}}
        return httpx.Response(200, json=shown)

    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "m.json").write_bytes(b"{}")
    monkeypatch.setattr(httpx, "get", get)
    server: Any = SimpleNamespace(url="http://gateway")
    assert Gateway(server, tmp_path).settle("m") is None
