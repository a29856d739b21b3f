"""Versions without a part of the traffic: routes name those that staging accepted."""

from __future__ import annotations

import pytest

from onward.core.records import Deployment
from onward.flow.happened import happened
from onward.flow.release import routing, steer
from onward.flow.release.routing import enact
from onward.stages.deploy.oci.layout import Layout
from onward.stages.serve.routes import read_routes
from release_shop import CANARY, Shop, image


def accept(shop: Shop, version: int) -> None:
    accepted = Deployment(environment="staging", image=image(version), passed=True, checks=())
    happened(shop.site, "image.accepted", "m", key=f"run-{version}", deployment=accepted)
    blob = Layout(shop.site.folders.images).path(image(version).digest)
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.touch()


def kept(shop: Shop) -> list[int]:
    enact(shop.site, "m")
    routes, _ = read_routes(shop.site.folders.routes / "m.json")
    return [each.model.version for each in routes.kept]


def test_routes_name_what_was_accepted_and_has_no_part_of_the_traffic(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    shop = Shop(tmp_path, CANARY)
    for version in (1, 2):
        accept(shop, version)
        shop.begin(version)
    assert kept(shop) == []  # champion and candidate
    accept(shop, 3)
    assert kept(shop) == [3]
    steer.abort(shop.site, "m", "no reason", by="ann")
    assert kept(shop) == [3, 2]
    monkeypatch.setattr(routing, "KEPT", 1)
    assert kept(shop) == [3]
