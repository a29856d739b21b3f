"""The guide to the lake: its code and its settings, run."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

import onward as ow
from marked_pages import guide
from onward.app.settings.sources import read_settings
from onward.app.site import open_ledger, open_site
from onward.core.clock import SystemClock
from onward.flow.progress import silent
from onward.infra.lake.iceberg import open_lake
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit
from onward.surfaces.cli.commands import cli
from services.s3 import Bucket

GUIDE = guide("lake")


def test_the_source_that_evolves(tmp_path: Path) -> None:
    names: dict[str, ow.Source] = {}
    exec(GUIDE.block("evolve"), {"ow": ow}, names)
    lake = open_lake(tmp_path / "lake")
    (tmp_path / "data").mkdir()
    for name, text in (
        ("1", "order_id,ordered_at,amount\n1,2024-01-01,10\n"),
        ("2", "order_id,ordered_at,total,extra\n2,2024-01-02,2.5,x\n"),
    ):
        (tmp_path / "data" / f"{name}.csv").write_text(text)
        source = names["orders"]
        if name == "1":
            source = ow.Source("orders", source.origin, key=["order_id"], event_time="ordered_at")
        reader = FileReader(Surroundings(folder=tmp_path))
        batch = ingest(source, reader=reader, lake=lake, run=name)
        assert batch is not None
        audit(batch, (), lake=lake, clock=SystemClock())
    found = lake.read("raw.orders").sort_by("order_id").select(["total", "extra"]).to_pylist()
    assert found == [{"total": 10.0, "extra": None}, {"total": 2.5, "extra": "x"}]


def test_the_commands(tmp_path: Path, shops: Callable[[Path], Path]) -> None:
    folder = shops(tmp_path / "shop")
    lake = open_lake(folder / ".onward" / "lake")
    lake.append("raw.orders", pa.table({"id": [1]}), key="1")
    with (folder / "onward.toml").open("a") as settings:
        settings.write(GUIDE.block("settings"))
    for line in GUIDE.block("commands").splitlines():
        words = shlex.split(line)[1:]
        done = CliRunner().invoke(cli, [*words, "--project", str(folder)])
        assert done.exit_code == 0, done.exception


def test_a_project_whose_lake_is_elsewhere(
    tmp_path: Path,
    shops: Callable[[Path], Path],
    postgres_url: str,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = shops(tmp_path / "shop")
    text = GUIDE.block("place").replace("s3://company", f"s3://{bucket.name}")
    text = text.replace("postgresql://onward:${secret:LAKE}@db.internal/onward", postgres_url)
    text = text.replace("https://s3.internal", bucket.endpoint)
    for name, value in (("S3_KEY", "key"), ("S3_SECRET", "secret")):
        monkeypatch.setenv(f"ONWARD_SECRET_{name}", bucket.options[value])
    with (folder / "onward.toml").open("a") as file:
        file.write(text)
    settings = read_settings(folder)
    assert postgres_url not in repr(settings)
    ledger = open_ledger(settings)
    site = open_site(settings, clock=SystemClock(), ledger=ledger, tell=silent)
    site.lake.append("raw.n", pa.table({"id": [1]}), key="1")
    assert site.lake.read("raw.n").num_rows == 1
    assert not list((folder / ".onward" / "lake").rglob("*.parquet"))
    with site.lake.open({"n": site.lake.dataset("raw.n")}) as connection:
        assert connection.table("n").count().to_pyarrow().as_py() == 1
