"""What the gateway serves is held against what was decided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from onward.app.gateway.serving import Gateway, Refusal, settle
from onward.core.errors import CorruptError
from onward.flow.release.releases import current
from onward.stages.serve.routes import read_routes
from release_shop import CANARY, Shop, Shops

Answer = dict[str, Any]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop whose second version is at the canary's first step."""
    made = Shops(tmp_path, monkeypatch)(CANARY)
    made.begin(2)
    return made


@pytest.fixture
def gateway(shop: Shop) -> Gateway:
    """A controller's view of a gateway; `answering` says what it answers."""
    server: Any = SimpleNamespace(url="http://gateway")
    return Gateway(server, shop.site.folders.root)


def version(shop: Shop) -> str:
    return read_routes(shop.site.folders.routes / "m.json")[1]


def serving(shop: Shop, **served: float) -> Answer:
    routes, of = read_routes(shop.site.folders.routes / "m.json")
    shares = [
        {"arm": r.arm, "percent": r.percent, "served": served.get(r.arm, r.percent)}
        for r in routes.routes
    ]
    return {"version": of, "refused": None, "refused_version": None, "routes": shares}


def refusing(of: str | None) -> Answer:
    refused = {"refused": "it is corrupt", "refused_version": of}
    return {"version": "before", **refused, "routes": []}


def answering(monkeypatch: pytest.MonkeyPatch, *answers: Callable[[], Answer]) -> None:
    """Let a gateway answer so in turn, and with the last from then on."""
    left = list(answers)

    def get(*_: Any, **__: Any) -> httpx.Response:
        answer = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(200, json={"m": answer()})

    monkeypatch.setattr(httpx, "get", get)


def test_shares_that_are_served_settle_it(shop, gateway, monkeypatch):
    answering(monkeypatch, lambda: serving(shop, champion=70.004, candidate=29.996))
    assert gateway.settle("m") is None


def test_a_share_that_is_ignored_is_found_out(shop, gateway, monkeypatch):
    answering(monkeypatch, lambda: serving(shop, champion=100.0, candidate=0.0))
    why = "it gives champion 100 % instead of 70 %, candidate 0 % instead of 30 %"
    assert gateway.settle("m") == Refusal(why, frozenset({"release:m@2.1"}))


def test_a_worker_that_dies_while_it_is_asked_is_not_the_gateway(shop, gateway, monkeypatch):
    def gone() -> Answer:
        raise httpx.ReadError("reset")

    answering(monkeypatch, gone, lambda: serving(shop))
    assert gateway.settle("m") is None


def test_routes_that_are_none_are_said_to_be_so(shop, gateway):
    (shop.site.folders.routes / "m.json").write_text("{")
    with pytest.raises(CorruptError, match="no routes file"):
        gateway.settle("m")


def test_what_the_gateway_refuses_ends_with_the_reason(shop, gateway, monkeypatch):
    of = version(shop)
    answering(monkeypatch, lambda: refusing(of), lambda: serving(shop))
    assert settle(shop.site, gateway, "m") == "it is corrupt"
    release = current(shop.site.ledger, "m")
    assert (release.ended, release.version) == ("rolledback", 2)
    assert release.reason == "the gateway refused version 2: it is corrupt"
    assert shop.routes() == {"champion": (1, 100.0)}


def test_a_refusal_of_routes_before_is_not_one_of_those_that_a_run_has_written_since(
    shop, gateway, monkeypatch
):
    """A run supersedes the release whose image the gateway refuses, while it is asked."""
    before = version(shop)

    def begun_meanwhile() -> Answer:
        shop.begin(3)
        return {**refusing(None), "refused": None}

    answering(
        monkeypatch,
        lambda: {**refusing(None), "refused": None},
        begun_meanwhile,
        lambda: refusing(before),
        lambda: serving(shop),
    )
    assert settle(shop.site, gateway, "m") is None
    assert current(shop.site.ledger, "m").ended is None
    assert shop.routes() == {"champion": (1, 70.0), "candidate": (3, 30.0)}


def test_a_release_that_has_begun_since_is_not_the_refused_one(shop, gateway, monkeypatch):
    before = version(shop)

    def begun_meanwhile() -> Answer:
        shop.begin(3)
        return refusing(before)

    answering(monkeypatch, begun_meanwhile)
    assert settle(shop.site, gateway, "m") is None
    release = current(shop.site.ledger, "m")
    assert (release.version, release.ended) == (3, None)
