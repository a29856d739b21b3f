"""What every reader of an origin must do, whatever it reads."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol

import dlt
import pytest

import onward as ow
from onward.app.origins import find_readers
from onward.core.clock import SystemClock
from onward.core.errors import DataError
from onward.core.records import Batch
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest.origins import Origin
from onward.stages.ingest.port import Reader, Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit, settle
from services.api import Api
from services.kafka import PARTITIONS, Kafka
from services.postgres import Cluster
from services.s3 import Bucket


class Outside(Protocol):
    """An origin that a test fills, and damages."""

    origin: Origin

    def add(self, *ids: int) -> None:
        """Add a row ``(id, at, x)`` for each id, each id greater than those before."""

    def damage(self) -> None:
        """Add something that cannot be read."""


class CsvFiles:
    origin = ow.files("in/*.csv")

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "in"
        self._folder.mkdir()

    def add(self, *ids: int) -> None:
        lines = ["id,at,x", *(f"{i},2024-01-01T00:00:{i % 60:02},{i / 2}" for i in ids), ""]
        self._put(f"{ids[0]:06}.csv", "\n".join(lines))

    def damage(self) -> None:
        self._put("999999.csv", 'id,at,x\n"1,2024-01-01,1.5\n')

    def _put(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)


class S3Files(CsvFiles):
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.origin = ow.files(bucket.url("in/*.csv"), storage_options=bucket.options)

    def _put(self, name: str, text: str) -> None:
        self._bucket.put(f"in/{name}", text)


class SqliteTable:
    origin = ow.sql("sqlite:///shop.db", "orders", cursor="id")

    def __init__(self, folder: Path) -> None:
        self._file = folder / "shop.db"
        self._execute("CREATE TABLE orders (id INTEGER, at TEXT, x REAL)")

    def add(self, *ids: int) -> None:
        for i in ids:
            values = (i, f"2024-01-01T00:00:{i % 60:02}", i / 2)
            self._execute("INSERT INTO orders VALUES (?, ?, ?)", values)

    def damage(self) -> None:
        self._file.write_bytes(b"no database" * 1000)

    def _execute(self, statement: str, values: tuple[object, ...] = ()) -> None:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            connection.execute(statement, values)


class SqliteUpserts(SqliteTable):
    origin = ow.sql("sqlite:///shop.db", "orders", cursor="at", mode="upsert", lag="1m")


class PostgresqlTable:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._url = cluster, cluster.create_database()
        self.origin = ow.sql(self._url, "orders", cursor="id")
        self._execute("CREATE TABLE orders (id bigint, at timestamptz, x double precision)")

    def add(self, *ids: int) -> None:
        rows = ", ".join(f"({i}, '2024-01-01T00:00:{i % 60:02}Z', {i / 2})" for i in ids)
        self._execute(f"INSERT INTO orders VALUES {rows}")

    def damage(self) -> None:
        self.add(99)
        self._execute(
            "ALTER TABLE orders RENAME TO elsewhere;"
            "CREATE VIEW orders AS SELECT id, at, 1 / (99 - id) + x AS x FROM elsewhere"
        )

    def _execute(self, statement: str) -> None:
        self._cluster.execute(statement, self._url)


class Topic:
    def __init__(self, folder: Path) -> None:
        self._kafka = Kafka()
        self._kafka.create("orders")
        settings = {"socket.timeout.ms": "2000"}
        self.origin = ow.kafka("orders", brokers=self._kafka.brokers, settings=settings)

    def add(self, *ids: int) -> None:
        for i in ids:
            row = {"id": i, "at": f"2024-01-01T00:00:{i % 60:02}", "x": i / 2}
            self._kafka.send("orders", json.dumps(row).encode(), partition=i % PARTITIONS)

    def damage(self) -> None:
        self._kafka.stop()


class RestApi:
    def __init__(self, api: Api) -> None:
        self._api = api
        self.origin = ow.http(
            f"{api.url}/orders",
            records="items",
            pagination={"type": "json_link", "next_url_path": "next"},
            cursor="at",
            since="since",
            every="1ms",
        )

    def add(self, *ids: int) -> None:
        for i in ids:
            order = {"id": i, "at": f"2024-01-01T00:00:{i % 60:02}", "x": i / 2}
            self._api.orders.append(order)

    def damage(self) -> None:
        self._api.faults = [(400, {})]


class DltResource:
    def __init__(self, folder: Path) -> None:
        self._rows: list[dict[str, object]] = []

        @dlt.resource(primary_key="id")
        def orders(id: object = dlt.sources.incremental("id")):
            yield from self._rows

        self.origin = ow.dlt(orders, every="1ms")

    def add(self, *ids: int) -> None:
        for i in ids:
            self._rows.append({"id": i, "at": f"2024-01-01T00:00:{i % 60:02}", "x": i / 2})

    def damage(self) -> None:
        self._rows.append({"at": "2024-01-01", "x": "no id"})


@pytest.fixture(
    params=[
        CsvFiles,
        S3Files,
        SqliteTable,
        SqliteUpserts,
        PostgresqlTable,
        Topic,
        RestApi,
        DltResource,
    ],
    ids=lambda kind: kind.__name__,
)
def outside(request: pytest.FixtureRequest, tmp_path: Path) -> Outside:
    if request.param is PostgresqlTable:
        return PostgresqlTable(request.getfixturevalue("postgres"))
    if request.param is RestApi:
        return RestApi(request.getfixturevalue("api"))
    if request.param is S3Files:
        return S3Files(request.getfixturevalue("bucket"))
    return request.param(tmp_path)


@pytest.fixture
def source(outside: Outside) -> ow.Source:
    types = {"x": "double"}
    return ow.Source("orders", outside.origin, key="id", event_time="at", types=types)


@pytest.fixture
def reader(source: ow.Source, tmp_path: Path) -> Reader:
    return find_readers(Surroundings(folder=tmp_path))(source)


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


@pytest.fixture
def stage(source: ow.Source, reader: Reader, lake: IcebergLake) -> Callable[[str], Batch | None]:
    """Ingest in a run of this name."""

    def stage(run: str) -> Batch | None:
        settle(source.table, lake=lake)
        return ingest(source, reader=reader, lake=lake, run=run)

    return stage


@pytest.fixture
def publish(lake: IcebergLake) -> Callable[[Batch | None], None]:
    def publish(batch: Batch | None) -> None:
        assert batch is not None
        assert audit(batch, (), lake=lake, clock=SystemClock(), required=("id", "at")).published

    return publish


def ids(lake: IcebergLake) -> list[int]:
    return sorted(lake.read("raw.orders")["id"].to_pylist())


def test_nothing_new_is_none(source, reader, lake, stage, publish, outside) -> None:
    assert not pending(source, reader=reader, lake=lake)
    assert stage("r0") is None
    assert lake.tables() == []
    outside.add(1)
    assert pending(source, reader=reader, lake=lake)
    publish(stage("r1"))
    assert not pending(source, reader=reader, lake=lake)
    assert stage("r2") is None


def test_every_row_is_taken_once(source, reader, lake, stage, publish, outside) -> None:
    outside.add(1, 2)
    publish(stage("r1"))
    outside.add(3)
    outside.add(4, 5)
    assert pending(source, reader=reader, lake=lake)
    publish(stage("r2"))
    assert ids(lake) == [1, 2, 3, 4, 5]
    rows = sorted(lake.read("raw.orders").to_pylist(), key=lambda row: row["id"])
    assert [row["x"] for row in rows] == [0.5, 1.0, 1.5, 2.0, 2.5]
    assert [row["at"].second for row in rows] == [1, 2, 3, 4, 5]


def test_a_crash_before_publishing_loses_and_doubles_nothing(lake, stage, publish, outside) -> None:
    outside.add(1)
    publish(stage("r1"))
    outside.add(2)
    assert stage("r2") is not None  # dies here: its batch is never audited
    outside.add(3)
    publish(stage("r2"))  # the same run again
    assert ids(lake) == [1, 2, 3]
    outside.add(4)
    assert stage("r3") is not None  # dies, and never comes back
    publish(stage("r4"))
    assert ids(lake) == [1, 2, 3, 4]


def test_a_crash_after_publishing_doubles_nothing(lake, stage, publish, outside) -> None:
    outside.add(1)
    batch = stage("r1")
    publish(batch)  # dies here: the run does not know that it published
    publish(batch)
    assert stage("r1") is None
    assert ids(lake) == [1]


def test_what_cannot_be_read_changes_nothing(lake, stage, publish, outside) -> None:
    outside.add(1)
    publish(stage("r1"))
    before = lake.head("raw.orders")
    outside.damage()
    with pytest.raises(DataError) as refused:
        stage("r2")
    assert refused.value.location is not None
    assert lake.head("raw.orders") == before
    assert lake.head("raw.orders", "audit-r2") is None


def test_opening_changes_nothing(source, reader, lake, stage, outside) -> None:
    outside.add(1, 2)
    first, again = stage("r1"), stage("r2")
    assert first is not None
    assert again is not None
    assert (first.rows, first.summary["key"]) == (2, "r1@None")
    without = [{k: v for k, v in b.summary.items() if k != "key"} for b in (first, again)]
    assert without[0] == without[1]
    assert first.state == again.state
    assert pending(source, reader=reader, lake=lake)


def test_within_limits_rows_come_in_parts_and_none_is_left(
    source, reader, lake, publish, outside
) -> None:
    outside.add(1, 2, 3)
    outside.add(4, 5, 6)
    limits = ow.micro_batch(rows=2, bytes=50, wait="1s")
    parts = 0
    while pending(source, reader=reader, lake=lake):
        parts += 1
        assert parts <= 6
        publish(ingest(source, reader=reader, lake=lake, run=f"r{parts}", limits=limits))
    assert parts > 1 or isinstance(outside, (RestApi, DltResource))  # whose pass is one
    assert ids(lake) == [1, 2, 3, 4, 5, 6]
