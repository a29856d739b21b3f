"""The guide to sources: its code, run against real servers."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ibis import _
from pyarrow import parquet

import onward as ow
from marked_pages import guide
from onward.app import origins
from onward.app.settings.sources import read_settings
from onward.app.site import open_ledger, open_site
from onward.core.clock import SystemClock
from onward.flow.progress import silent
from onward.flow.site import Site
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit
from services.postgres import Cluster
from services.s3 import Bucket

GUIDE = guide("sources")


def declared(name: str, **replaced: str) -> dict[str, Any]:
    """Return what a block declares, with other addresses in it."""
    code = GUIDE.block(name)
    for text, other in replaced.items():
        assert text in code
        code = code.replace(text, other)
    names: dict[str, Any] = {"ow": ow, "_": _, "__name__": f"guide_{name}"}
    exec(compile(code, "sources.md", "exec"), names)
    return names


def site(folder: Path, settings: str = "") -> Site:
    (folder / "onward.toml").write_text(settings)
    read = read_settings(folder)
    return open_site(read, clock=SystemClock(), ledger=open_ledger(read), tell=silent)


def take(at: Site, source: ow.Source, run: str = "r1") -> list[dict[str, Any]]:
    """Ingest and audit as a run does, until nothing is new."""
    batch = ingest(source, reader=at.reader(source), lake=at.lake, run=run)
    assert batch is not None
    assert audit(batch, source.checks, lake=at.lake, clock=at.clock, required=source.key).published
    assert not pending(source, reader=at.reader(source), lake=at.lake)
    rows: list[dict[str, Any]] = at.lake.read(source.table).to_pylist()
    return rows


def test_files_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "orders"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("order_id,ordered_at,recorded_at\n1,2026-01-01,2026-01-02\n")
    assert [r["order_id"] for r in take(site(tmp_path), declared("files")["orders"])] == [1]


def test_a_bucket_is_read_with_the_secrets_of_the_project(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONWARD_SECRET_S3_KEY", bucket.options["key"])
    monkeypatch.setenv("ONWARD_SECRET_S3_SECRET", bucket.options["secret"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    sink = io.BytesIO()
    parquet.write_table(pa.table({"flight_id": [7], "departed_at": ["2013-01-01"]}), sink)
    bucket.put("2013/01/a.parquet", sink.getvalue())
    at = site(tmp_path, GUIDE.block("storage"))
    names = declared("bucket", **{"s3://flights/": bucket.url("")})
    assert [r["flight_id"] for r in take(at, names["flights"])] == [7]


def test_postgresql_is_read_with_the_secrets_of_the_project(
    tmp_path: Path, postgres: Cluster, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONWARD_SECRET_SHOP_DB", "p@ss/w:rd")
    postgres.execute(
        "CREATE TABLE payments (id int, paid_at timestamptz);"
        "INSERT INTO payments VALUES (1, '2026-01-01')",
        postgres_url,
    )
    place = postgres_url.partition("@")[2]
    names = declared("sql", **{"shop:": "postgres:", "db.example.com/shop": place})
    assert [r["id"] for r in take(site(tmp_path), names["payments"])] == [1]


def test_changed_rows_are_upserted(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    at, customers = site(tmp_path), declared("upsert")["customers"]
    with closing(sqlite3.connect(tmp_path / "data" / "shop.db", isolation_level=None)) as shop:
        shop.execute("CREATE TABLE customers (customer PRIMARY KEY, joined_at, updated_at, tier)")
        for day, (one, other) in enumerate([("gold", "gold"), ("silver", None)]):
            for customer, tier in ((1, one), (2, other)):
                shop.execute(
                    "INSERT OR REPLACE INTO customers VALUES (?, '2026-01-01', ?, ?)",
                    (customer, f"2026-01-0{day + 1}", tier),
                )
            rows = take(at, customers, f"r{day}")
    assert sorted((r["customer"], r["tier"]) for r in rows) == [(1, "silver"), (2, "gold")]


def test_the_reader_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "countdown.py").write_text(GUIDE.block("reader"))
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("countdown", "countdown:CountdownReader", origins.GROUP)
    monkeypatch.setattr(origins, "entry_points", lambda group: [entry])
    declare = import_module("countdown").Countdown
    at = site(tmp_path)
    for run, (start, expected) in enumerate([(2, 2), (5, 5)]):
        source = ow.Source("numbers", declare(start=start), key="number", event_time="at")
        assert len(take(at, source, f"r{run}")) == expected
