"""Views at request time: policies row by row, and stores that are remote, away, or silent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import trained_models as small
from gateway_site import Site, routes_of, serving

from onward.core.records import ImageRef, Materialized, Prediction, ViewPlan
from onward.infra.online import redis, sqlite
from onward.stages.deploy.step import package
from onward.stages.serve.gateway.settings import Factory
from onward.stages.serve.log.reader import find, read
from services.redis_server import RedisServer, running_redis

NOW = datetime.now(UTC)
FRESH, STALE = NOW - timedelta(hours=1), NOW - timedelta(days=3)
POLICIES = {
    "nulls": {},
    "defaults": {"on_missing": "default", "on_stale": "default", "defaults": (0.5, None)},
    "errors": {"on_missing": "error", "on_stale": "error"},
    "lasts": {"on_stale": "last"},
}
ROW = {"amount": 1.0, "placed_at": "2026-01-01T10:00:00+00:00"}
_numbers = count()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ImageRef]:
    folder = tmp_path_factory.mktemp("policies")
    made = {}
    for name, policy in POLICIES.items():
        view = replace(small.STORES, **policy)
        plan = replace(small.PLAN, views=(view,))
        trained = small.train(folder / name, small.Linear(1.0), name=name, plan=plan)
        made[name] = package(trained, folder=folder / "images")
    return made


def fill(store: Any, view: ViewPlan = small.STORES) -> None:
    """Write a fresh row of store s1 and a stale one of s2."""
    store.write(
        view,
        pa.table(
            {
                "store": ["s1", "s2"],
                "event_time": pa.array([FRESH, STALE], pa.timestamp("us", tz="UTC")),
                "rate": [0.1, 0.2],
                "visits": [10.0, 20.0],
            }
        ),
        mark=Materialized(snapshot=1, at=NOW, newest=FRESH),
    )


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    images: dict[str, ImageRef],
) -> Iterator[Site]:
    """A gateway with a model for each policy."""
    folder = tmp_path_factory.mktemp("policies")
    if request.param == "sqlite":
        store: Any = sqlite.open_store(str(folder / "filled.db"))
        factory = Factory(
            "onward.infra.online.sqlite:open_store", {"path": str(folder / "filled.db")}
        )
    else:
        url = request.getfixturevalue("redis_server").url
        store = redis.open_store(url, "policies")
        factory = remote(url, "policies", timeout_s=30.0)
    fill(store, replace(small.STORES, on_stale="last"))
    store.close()
    routes = [routes_of((image, 100.0)) for image in images.values()]
    with serving(folder, *routes, online=factory, online_timeout_s=30.0) as opened:
        yield opened


def remote(url: str, namespace: str, timeout_s: float) -> Factory:
    arguments = {"url": url, "namespace": namespace, "timeout_s": timeout_s}
    return Factory("onward.infra.online.redis:open_store", arguments)


def asked(site: Site, model: str, *stores: str | None) -> tuple[int, list[dict[str, Any]]]:
    rows = [{**ROW, "order_id": f"o{next(_numbers)}", "store": store} for store in stores]
    answer = site.predict(rows, model)
    return answer.status_code, answer.json()["predictions"]


def logged(site: Site, predictions: list[dict[str, Any]]) -> list[Prediction]:
    return [find(site.predictions, each["id"]) for each in predictions]


def served(found: Prediction) -> tuple[Any, Any]:
    return found.features["stores__rate"], found.features["stores__visits"]


FRESH_ROW = ((0.1, 10.0), {})


@pytest.mark.parametrize(
    ("model", "stale", "missing"),
    [
        ("nulls", (None, None, "stale:null"), (None, None, "missing:null")),
        ("defaults", (0.5, None, "stale:default"), (0.5, None, "missing:default")),
        ("lasts", (0.2, 20.0, "stale:last"), (None, None, "missing:null")),
    ],
)
def test_a_policy_says_what_stands_in_for_a_fresh_row_and_the_log_says_so(
    site: Site, model: str, stale: tuple[Any, ...], missing: tuple[Any, ...]
) -> None:
    status, predictions = asked(site, model, "s1", "s2", "s9", None)
    assert status == 200
    found = [(served(each), dict(each.marks)) for each in logged(site, predictions)]
    expected = [(one[:2], {"stores": one[2]}) for one in (stale, missing, missing)]
    assert found == [FRESH_ROW, *expected]


def test_a_refused_row_has_an_error_of_its_own_and_harms_no_other(site: Site) -> None:
    status, predictions = asked(site, "errors", "s9", "s1", "s2", "s1")
    assert status == 200
    missing, first, stale, second = predictions
    assert missing["error"] == (
        "features:stores@1 has no row for store='s9', and its on_missing is 'error'"
    )
    assert "the row of features:stores@1 for store='s2' is" in stale["error"]
    assert "its time to live is 86,400 s, and its on_stale is 'error'" in stale["error"]
    assert [each["output"] for each in (first, second)] == [first["output"]] * 2
    assert all("output" not in each for each in (missing, stale))
    found = logged(site, predictions)
    assert [each.status for each in found] == [422, 200, 422, 200]
    assert [dict(each.marks) for each in found] == [
        {"stores": "missing:error"}, {}, {"stores": "stale:error"}, {},
    ]  # fmt: skip
    assert [each.unit for each in found] == [each["unit"] for each in predictions]
    assert found[0].error == missing["error"]
    assert served(found[1]) == (0.1, 10.0)


def test_a_request_that_is_refused_whole_says_so_by_its_status(site: Site) -> None:
    answer = site.predict([{**ROW, "order_id": "x", "store": "s9"}], "errors")
    assert answer.status_code == 422
    assert "has no row for store='s9'" in answer.json()["error"]


def test_many_callers_of_one_tick_get_their_own_rows(site: Site) -> None:
    import asyncio

    import httpx

    async def ask(client: httpx.AsyncClient, number: int) -> bool:
        store = ("s1", "s9")[number % 2]
        row = {**ROW, "order_id": f"c{number}", "store": store}
        answer = await client.post("/v2/models/errors/predict", json={"rows": [row]})
        [given] = answer.json()["predictions"]
        return given["unit"] == f"c{number}" and ("output" in given) == (store == "s1")

    async def ask_all() -> list[bool]:
        async with httpx.AsyncClient(base_url=site.server.url, timeout=30) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(60)))

    assert all(asyncio.run(ask_all()))


def test_metrics_tell_how_fresh_each_view_is(site: Site) -> None:
    label = '{view="stores",version="1"}'
    newest = f"onward_features_newest_timestamp_seconds{label} {FRESH.timestamp()}"
    written = f"onward_features_materialized_timestamp_seconds{label} {NOW.timestamp()}"
    site.until(lambda: newest in site.client.get("/metrics").text)
    assert written in site.client.get("/metrics").text


# ---------------------------------------------------------------- a store that is away


@pytest.fixture
def away(
    tmp_path: Path, images: dict[str, ImageRef]
) -> Iterator[tuple[Site, RedisServer, Callable[[], None]]]:
    """A gateway on a Redis server of its own, and what fills that."""
    with running_redis(tmp_path) as server:

        def refill() -> None:
            store = redis.open_store(server.url, "away")
            fill(store)
            store.close()

        refill()
        options = {"online": remote(server.url, "away", 0.3), "online_timeout_s": 0.4}
        with serving(tmp_path, routes_of((images["defaults"], 100.0)), **options) as opened:
            yield opened, server, refill


def failures(site: Site) -> float:
    text = site.client.get("/metrics").text
    lines = [one for one in text.splitlines() if one.startswith("onward_online_failures_total ")]
    return float(lines[0].split()[1])


def test_without_its_store_a_gateway_refuses_rows_and_comes_back_with_it(
    away: tuple[Site, RedisServer, Callable[[], None]],
) -> None:
    site, server, refill = away
    assert asked(site, "defaults", "s1")[0] == 200
    server.stop()
    status, predictions = asked(site, "defaults", "s1", "s9")
    assert status == 503
    assert f"the online store redis://127.0.0.1:{server.port}/0 does not answer" in str(predictions)
    assert [each.status for each in logged(site, predictions)] == [503, 503]
    assert site.client.get("/v2/health/ready").status_code == 200
    assert failures(site) == 1
    server.start()
    refill()
    status, predictions = asked(site, "defaults", "s1")
    assert status == 200
    assert served(logged(site, predictions)[0]) == (0.1, 10.0)


def test_a_store_that_hangs_holds_nobody_up_for_long(
    away: tuple[Site, RedisServer, Callable[[], None]],
) -> None:
    site, server, _ = away
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        status, predictions = asked(site, "defaults", "s1")
        assert status == 503
        assert "online store" in predictions[0]["error"]
        assert site.client.get("/v2/health/live").status_code == 200
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    site.until(lambda: asked(site, "defaults", "s1")[0] == 200)
    every, _ = read(site.predictions)
    assert {each.status for each in every} == {200, 503}


def test_a_gateway_starts_without_its_store_and_ends_while_that_hangs(
    tmp_path: Path, images: dict[str, ImageRef]
) -> None:
    with running_redis(tmp_path) as server:
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGSTOP)
        options = {"online": remote(server.url, "late", 60.0), "online_timeout_s": 0.1}
        with serving(tmp_path, routes_of((images["nulls"], 100.0)), **options) as site:
            status, predictions = asked(site, "nulls", "s1")
            assert status == 503
            assert "has not answered within 0.1 s" in predictions[0]["error"]
            assert asked(site, "nulls", "s1")[0] == 503, "at once: the question is still out"
