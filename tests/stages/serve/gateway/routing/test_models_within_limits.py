"""Whatever is asked for and routed in turn: the limit holds, and what routes need is in memory."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import trained_models as small
from embedded_calls import Embedded, asked, post
from gateway_site import routes_of, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.core.records import ImageRef, ModelRef, Route
from onward.stages.deploy.step import package
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.routing import versions as pool
from onward.stages.serve.gateway.routing.versions import Models, NoRoomError

LIMIT = 10
VERSIONS = range(1, 6)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(VERSIONS)),
        st.tuples(st.just("route"), st.sets(st.sampled_from(VERSIONS), min_size=1, max_size=3)),
    ),
    max_size=25,
)


def route(version: int) -> Route:
    model = ModelRef(name="m", version=version, path="", digest="", trained="", card="")
    image = ImageRef(name="m", digest=f"sha256:{version}", layout="", model=model)
    return Route(arm="champion", image=image, percent=100.0, release="")


async def play(sizes: Sequence[int], moves: Sequence[tuple[str, Any]]) -> None:
    metrics = Metrics()

    def made(each: Route) -> Any:
        return SimpleNamespace(name="m", version=each.image.model.version)

    def size(each: Route) -> int:
        return sizes[each.image.model.version - 1]

    held = Models(LIMIT, metrics, load=made, least=size)
    everything = {route(version).image.digest for version in VERSIONS}
    needed: set[int] = set()
    for move, what in moves:
        taken = sum(sizes[version - 1] for version in needed)
        if move == "route":
            for version in what:
                await held.need(route(version))
            needed = what
            held.settle({route(version).image.digest for version in needed}, everything)
            assert metrics.models_over == (sum(sizes[v - 1] for v in needed) > LIMIT)
        else:
            live: Any = object()
            try:
                await held.ask(route(what), lambda _, live=live: live)
            except NoRoomError:
                assert taken + sizes[what - 1] > LIMIT
                assert what not in needed
            else:
                assert held.beside(route(what).image.digest) is not None
            held.tidy()
        there = {version for _, version, _ in metrics.models()}
        total = sum(taken for _, _, taken in metrics.models())
        assert needed <= there
        assert total <= LIMIT or there == needed


@given(st.lists(st.integers(1, 6), min_size=5, max_size=5), MOVES)
@settings(max_examples=60, deadline=None)
def test_the_limit_holds_and_what_routes_need_stays(sizes, moves):
    with (
        patch.object(pool.memory, "measured", lambda load, least: (load(), least)),
        patch.object(pool.memory, "give_back", lambda _: None),
        patch.object(pool, "_on_one_thread", lambda: None),
    ):
        asyncio.run(play(sizes, moves))


def test_nobody_waits_for_a_version_but_those_who_ask_for_it(tmp_path: Path, image: Any) -> None:
    gate = tmp_path / "gate"
    trained = small.train(tmp_path / "slow", small.Heavy(2.0, gate=str(gate)), version=2)
    slow = package(trained, folder=tmp_path / "images")
    routes = replace(routes_of((image("plain"), 100.0)), kept=(slow,))

    async def work(embedded: Embedded) -> list[int]:
        rows = {"rows": small.rows(1)}
        body = json.dumps(rows).encode()
        late = embedded.ask(
            "POST", b"/v2/models/returns/versions/2/predict", body,
            ((b"onward-deadline-ms", b"50"),), "127.0.0.1",
        )  # fmt: skip
        patient = [
            asyncio.ensure_future(post(embedded, b"/versions/2/predict", rows)) for _ in range(2)
        ]
        others = [(await post(embedded, b"/predict", rows)).status, (await late).status]
        assert not any(each.done() for each in patient)
        gate.touch()
        return [*others, *[(await each).status for each in patient]]

    answers = asked(serving(tmp_path, routes).config, work)
    assert answers == [200, 504, 200, 200]


def test_a_return_to_what_is_loaded_waits_for_no_load_of_another():
    started, gate = threading.Event(), threading.Event()

    def load(each: Route) -> Any:
        if each.image.model.version == 2:
            started.set()
            assert gate.wait(20)
        return SimpleNamespace(name="m", version=each.image.model.version)

    async def run() -> None:
        held = Models(0, Metrics(), load=load, least=lambda _: 1)
        await held.need(route(1))
        slow = asyncio.create_task(held.need(route(2)))
        await asyncio.to_thread(started.wait, 20)
        assert (await held.need(route(1))).version == 1
        assert not slow.done()
        gate.set()
        await slow

    asyncio.run(run())


def turns(
    load_s: float, *, rest: float, patience_s: float
) -> tuple[list[float], NoRoomError | None]:
    """Ask for two versions in turn that have room for one, beside one that routes need.

    Returns when each load began, in seconds since the first ended, and what was refused.
    """
    began: list[float] = []
    ended: list[float] = []

    def load(each: Route) -> Any:
        began.append(time.monotonic())
        time.sleep(load_s)
        ended.append(time.monotonic())
        return SimpleNamespace(name="m", version=each.image.model.version)

    async def run() -> NoRoomError | None:
        held = Models(2, Metrics(), load=load, least=lambda _: 1)
        await held.need(route(1))
        live: Any = object()
        try:
            for version in (2, 3, 2, 1, 3):
                await held.ask(route(version), lambda _: live)
        except NoRoomError as error:
            await held.need(route(4))  # what routes need waits for nobody
            return error
        return None

    with (
        patch.object(pool.memory, "measured", lambda load, least: (load(), least)),
        patch.object(pool.memory, "give_back", lambda _: None),
        patch.object(pool, "_on_one_thread", lambda: None),
        patch.object(pool, "REST", rest),
        patch.object(pool, "PATIENCE_S", patience_s),
    ):
        refused = asyncio.run(run())
    pauses = [start - end for start, end in zip(began[1:], ended, strict=False)]
    return pauses, refused


def test_versions_asked_for_in_turn_are_not_loaded_without_end():
    pauses, refused = turns(0.02, rest=4.0, patience_s=30.0)
    assert refused is None
    assert len(pauses) == 4
    assert all(pause >= 4 * 0.02 for pause in pauses[1:]), "only a load for which others go waits"


def test_who_would_wait_for_too_long_is_told_when_to_come_again():
    pauses, refused = turns(0.02, rest=4_000.0, patience_s=30.0)
    assert len(pauses) == 2
    assert refused is not None
    assert (refused.again_s or 0) > 30
    assert "has no room yet" in str(refused)
