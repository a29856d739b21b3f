"""The Redis store's own matters: memory, writers that race or die, a server that goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import redis

from onward.core.errors import UnavailableError
from onward.core.records import Materialized, ViewPlan
from onward.infra.online.redis import open_store
from services.redis_server import RedisServer, running_redis

AT = datetime(2013, 6, 1, tzinfo=UTC)
VIEW = ViewPlan(
    name="v", version=1, table="features.v_v1", entity=("entity",), columns=("a",), ttl_s=60.0
)

WRITER = f"""
import sys
from datetime import UTC, datetime
import pyarrow as pa
from onward.core.records import Materialized, ViewPlan
from onward.infra.online.redis import open_store
view = {VIEW!r}
store = open_store(sys.argv[1], sys.argv[2])
at = datetime.fromtimestamp({AT.timestamp()!r}, UTC)
count = 0
while True:
    count += 1
    rows = pa.table({{
        "entity": [f"e{{i}}" for i in range(2_000)],
        "event_time": pa.array([at] * 2_000, pa.timestamp("us", "UTC")),
        "a": [float(count)] * 2_000,
    }})
    store.write(view, rows, mark=Materialized(snapshot=count, at=at, newest=at))
    print(count, flush=True)
"""


def rows(value: float, *entities: str, at: datetime = AT) -> pa.Table:
    times = pa.array([at] * len(entities), pa.timestamp("us", "UTC"))
    return pa.table({"entity": list(entities), "event_time": times, "a": [value] * len(entities)})


@pytest.fixture
def client(redis_server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(redis_server.url)


@pytest.mark.parametrize(
    ("policies", "expires"),
    [
        ({}, True),
        ({"on_missing": "error", "on_stale": "error"}, True),
        ({"on_missing": "default", "on_stale": "error"}, False),
        ({"on_stale": "last"}, False),
        ({"ttl_s": None}, False),
    ],
)
def test_a_key_expires_where_a_stale_row_reads_as_a_missing_one(
    redis_server: RedisServer, client: redis.Redis, policies: dict[str, str], expires: bool
) -> None:
    view = replace(VIEW, **policies)
    namespace = f"expiry-{len(policies)}-{'-'.join(map(str, policies.values()))}"
    store = open_store(redis_server.url, namespace)
    store.write(view, rows(1.0, "x"))
    [key] = client.keys(f"{namespace}:*")
    left = client.pttl(key)
    assert (0 < left <= 60_001) if expires else left == -1
    store.close()


def test_namespaces_do_not_see_each_other(redis_server: RedisServer) -> None:
    one, other = (open_store(redis_server.url, name) for name in ("one", "other"))
    one.write(VIEW, rows(1.0, "x"))
    assert other.read([(VIEW, [("x",)])]) == [[None]]
    assert one.read([(VIEW, [("x",)])])[0][0][1] == (1.0,)
    one.close()
    other.close()


def test_whoever_of_many_writers_is_last_the_newest_row_stays(redis_server: RedisServer) -> None:
    def write(second: int) -> None:
        store = open_store(redis_server.url, "race")
        names = [f"e{i}" for i in range(50)]
        store.write(VIEW, rows(float(second), *names, at=AT + timedelta(seconds=second)))
        store.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7]))
    store = open_store(redis_server.url, "race")
    [found] = store.read([(VIEW, [(f"e{i}",) for i in range(50)])])
    assert {row[1] for row in found if row is not None} == {(9.0,)}
    store.close()


@pytest.mark.crash
def test_a_mark_means_that_its_rows_are_there_however_the_writer_dies(
    redis_server: RedisServer,
) -> None:
    store = open_store(redis_server.url, "killed")
    everyone = [f"e{i}" for i in range(2_000)]
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, redis_server.url, "killed"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < 5:
            pass
        os.kill(writer.pid, signal.SIGKILL)
        writer.stdout.read()
        writer.wait()
        writer.stdout.close()
        mark = store.mark(VIEW)
        assert mark is not None
        [found] = store.read([(VIEW, [(name,) for name in everyone])])
        assert all(row is not None and row[1][0] >= mark.snapshot for row in found)
        store.write(
            VIEW, rows(0.0, *(f"e{i}" for i in range(2_000))), mark=replace(mark, snapshot=0)
        )
    store.close()


def test_a_server_that_is_down_is_told_without_its_password(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        pass
    url = f"redis://reader:hunter2@127.0.0.1:{server.port}/3"
    store = open_store(url, timeout_s=0.2)
    with pytest.raises(UnavailableError, match=f"redis://127.0.0.1:{server.port}/3") as caught:
        store.read([(VIEW, [("x",)])])
    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 7
    with pytest.raises(UnavailableError):
        store.write(VIEW, rows(1.0, "x"))
    with pytest.raises(UnavailableError):
        store.mark(VIEW)
    store.close()


def test_a_server_that_comes_back_is_asked_again(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        store = open_store(server.url, timeout_s=5.0)
        mark = Materialized(snapshot=1, at=AT, newest=AT)
        store.write(VIEW, rows(1.0, "x"), mark=mark)
        assert store.mark(VIEW) == mark
        server.stop()
        server.start()
        assert store.read([(VIEW, [("x",)])]) == [[None]], "it came back empty"
        assert store.mark(VIEW) is None
        store.close()


def test_a_server_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        store = open_store(server.url, timeout_s=0.2)
        store.write(VIEW, rows(1.0, "x"))
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGSTOP)
        with pytest.raises(UnavailableError):
            store.read([(VIEW, [("x",)])])
        os.kill(server.process.pid, signal.SIGCONT)
        [[found]] = store.read([(VIEW, [("x",)])])
        assert found is not None
        assert found[1] == (1.0,), "an answer that came late is not the next question's"
        store.close()
