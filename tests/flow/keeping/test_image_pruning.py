"""Which images stay: what the ledger, the registry, the routes and the pipeline name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import onward as ow
from onward.core import digest
from onward.core.clock import ReplayClock
from onward.core.errors import NotFoundError
from onward.core.records import Deployment, ImageRef, ModelRef, Route, Routes, RunRequest
from onward.flow.happened import happened
from onward.flow.keeping.images import prune_images
from onward.flow.release import steer
from onward.flow.release.image import packaged, there
from onward.flow.release.loop import begin, rollback
from onward.flow.release.routing import enact
from onward.flow.site import Folders
from onward.infra.database import open_database
from onward.stages.deploy.oci.layout import Layout
from onward.stages.serve.routes import read_routes, write_routes
from onward.watch.audit.adapters.sql import SqlLedger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = timedelta(days=-36_500)


class Registry:
    """A registry whose aliases a test sets."""

    def __init__(self) -> None:
        self.aliases: dict[int, tuple[str, ...]] = {}

    def champion(self, name: str) -> None:
        return None

    def promote(self, model: ModelRef) -> None:
        pass

    def versions(self, name: str) -> list[Any]:
        return [SimpleNamespace(version=v, aliases=a) for v, a in self.aliases.items()]


class Shop:
    """Versions that are packaged for good, without a model in them that could predict."""

    def __init__(self, folder: Path, *strategies: Any) -> None:
        self.folder = folder
        self.site: Any = SimpleNamespace(
            ledger=SqlLedger(open_database(folder / "onward.db")),
            clock=ReplayClock(NOW),
            registry=Registry(),
            folders=Folders(folder),
            workbench=None,
        )
        pipeline = SimpleNamespace(release=strategies)
        self.definition: Any = SimpleNamespace(model="m", pipeline=pipeline, access=None)
        self.layout = Layout(self.site.folders.images)

    def package(self, version: int) -> ImageRef:
        trained = self.folder / "trained" / str(version)
        trained.mkdir(parents=True)
        (trained / "plan.json").write_text(json.dumps({"task": "binary", "plan": {"request": []}}))
        (trained / "model.bin").write_bytes(bytes([version]) * 1_000)
        of = digest.of_folder(trained)
        model = ModelRef(
            name="m", version=version, path=str(trained), digest=of, trained="", card=""
        )
        return packaged(self.site, model, f"run-{version}")

    def release(self, version: int) -> ImageRef:
        image = self.package(version)
        begin(self.site, self.definition, image, f"run-{version}")
        return image

    def promote(self, version: int) -> ImageRef:
        image = self.release(version)
        if version > 1:
            steer.promote(self.site, "m", "", by="ada")
        return image

    def prune(self, newest: int = 0, **how: Any) -> dict[str, str | None]:
        done = prune_images(self.site, self.definition, newest=newest, grace=OLD, **how)
        return {verdict.name: verdict.because for verdict in done.verdicts}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, ow.Canary(steps=[50]))


def test_what_something_names_stays_and_the_rest_but_the_newest_goes(tmp_path: Path) -> None:
    shop = Shop(tmp_path, ow.Canary(steps=[50]), ow.ABTest(split={"candidate": 20, "v2": 20}))
    for version in range(1, 7):
        shop.package(version) if version == 2 else shop.promote(version)
    assert shop.prune(dry_run=True)["m:2"] == "in a split"
    shop.release(7)
    for version in (8, 9, 10, 11):
        shop.package(version)
    shop.site.registry.aliases = {4: ("challenger",)}
    happened(shop.site, "deployment.applied", "m", key="a", inputs=("image:m@sha256:0",),
             target="kubernetes")  # fmt: skip
    [eight] = [e for e in shop.layout.entries() if e.digest == shop.layout.tags()["m:8"].digest]
    for number in ("b", "c"):
        happened(shop.site, "deployment.applied", "m", key=number,
                 inputs=(f"image:m@{eight.digest}",), target="kubernetes")  # fmt: skip
    expected = {
        "m:1": None,
        "m:2": "in the release under way",
        "m:3": None,
        "m:4": "alias challenger",
        "m:5": "champion before",
        "m:6": "champion",
        "m:7": "in the release under way",
        "m:8": "deployed to kubernetes",
        "m:9": None,
        "m:10": "newest",
        "m:11": "newest",
    }
    assert shop.prune(2, dry_run=True) == expected
    assert len(shop.layout.tags()) == 11
    assert shop.prune(2) == expected
    assert set(shop.layout.tags()) == {name for name, why in expected.items() if why}
    [told] = shop.site.ledger.events(kind="images.pruned")
    assert [one["name"] for one in told.event.facts["images"]] == ["m:1", "m:3", "m:9"]
    assert told.event.facts["bytes"] > 0
    assert None not in shop.prune(2).values()
    assert len(shop.site.ledger.events(kind="images.pruned")) == 1


def test_what_the_gateway_is_told_to_serve_stays(shop: Shop) -> None:
    shop.promote(1)
    stray = shop.package(9)
    route = Route(arm="champion", image=stray, percent=100, release="release:m@9.1")
    write_routes(shop.site.folders.routes, Routes(model="m", salt="s", routes=(route,)))
    assert shop.prune() == {"m:1": "champion", "m:9": "in the routes"}


def test_routes_no_longer_offer_a_pruned_version(shop: Shop) -> None:
    shop.promote(1)
    for version in (2, 3):
        accepted = Deployment(
            environment="staging", image=shop.package(version), passed=True, checks=()
        )
        happened(shop.site, "image.accepted", "m", key=f"run-{version}", deployment=accepted)
    enact(shop.site, "m")
    file = shop.site.folders.routes / "m.json"
    assert [image.model.version for image in read_routes(file)[0].kept] == [3, 2]
    shop.prune(newest=1)
    assert [image.model.version for image in read_routes(file)[0].kept] == [3]


def test_unpacked_copies_and_old_stagings_go_along(shop: Shop) -> None:
    first, second = shop.promote(1), shop.package(3)
    unpacked = shop.site.folders.gateway / "unpacked"
    for image in (first, second):
        (unpacked / image.digest.removeprefix("sha256:")).mkdir(parents=True)
    (unpacked / ".going-cut-short").mkdir()
    (unpacked / ("0" * 64)).mkdir()  # of an image that a pruning before took, and was cut short
    for run in ("over", "newest", "cut-short"):
        request = RunRequest(id=run, reason="", trigger="request", requested_at=NOW)
        happened(shop.site, "run.started", "m", key=run, run=run, request=request, digest="",
                 commit=None)  # fmt: skip
        if run != "cut-short":
            happened(shop.site, "run.finished", "m", key=run, run=run, state="promoted", reason="",
                     model=None, seconds=1.0)  # fmt: skip
        (shop.site.folders.staging / run / "replay").mkdir(parents=True)
    done = prune_images(shop.site, shop.definition, newest=0, grace=OLD)
    assert set(done.staged) == {"over", "newest"}
    assert [f.name for f in shop.site.folders.staging.iterdir()] == ["cut-short"]
    assert [f"sha256:{f.name}" for f in unpacked.iterdir()] == [first.digest]


def test_a_pruned_image_that_is_wanted_again_is_packaged_again(shop: Shop) -> None:
    images = [shop.promote(version) for version in (1, 3, 4)]
    shop.prune()
    assert set(shop.layout.tags()) == {"m:3", "m:4"}
    rollback(shop.site, "m", "calls", by="ada")
    rollback(shop.site, "m", "more calls", by="ada")
    assert shop.layout.tags()["m:1"].digest == images[0].digest
    whole = replace(images[1], digest=f"sha256:{'0' * 64}")
    with pytest.raises(NotFoundError, match="the image of version 3 of 'm' was pruned"):
        there(whole)


def test_nothing_is_pruned_where_nothing_was_packaged(shop: Shop) -> None:
    assert shop.prune() == {}
    assert shop.site.ledger.events(kind="images.pruned") == []
    shutil.rmtree(shop.site.folders.images, ignore_errors=True)
    assert shop.prune(3) == {}
