"""The flights template's checks and transform on real departures."""

import importlib.util
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from onward.app.flights_data import START, deliver, write_history
from onward.core.clock import SystemClock
from onward.core.records import DatasetRef
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.transform.step import build, order, resolve
from onward.stages.validate.step import audit

TEMPLATE = Path("src/onward/app/templates/flights/pipeline.py")


@pytest.fixture(scope="module")
def template() -> ModuleType:
    path = Path(__file__).parents[3] / TEMPLATE
    spec = importlib.util.spec_from_file_location("flights_template", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def refresh(template: ModuleType, lake: IcebergLake, folder: Path, run: str) -> DatasetRef:
    """Ingest and audit both sources, then build and audit the transform."""
    published = {}
    for source in (template.flights, template.weather):
        batch = ingest(source, reader=FileReader(Surroundings(folder=folder)), lake=lake, run=run)
        assert batch is not None
        required = (*source.key, source.event_time, source.available_at)
        report = audit(batch, source.checks, lake=lake, clock=SystemClock(), required=required)
        assert report.rows_in == report.rows_published + report.rows_quarantined
        assert not pending(source, reader=FileReader(Surroundings(folder=folder)), lake=lake)
        published[source.name] = lake.dataset(source.table)
    known = {*published, "departures"}
    [departures] = order([resolve(template.departures, folder=folder, known=known)],
                         sources=published)  # fmt: skip
    batch = build(departures, lake=lake, inputs=published, folder=folder, run=run)
    assert batch is not None
    assert audit(batch, departures.checks, lake=lake, clock=SystemClock()).rows_quarantined == 0
    assert build(departures, lake=lake, inputs=published, folder=folder, run=run) is None
    return lake.dataset(departures.table)


def test_january_through_the_first_three_stages(template: ModuleType, tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")
    until = START + timedelta(days=20)
    write_history(tmp_path, until)
    derived = refresh(template, lake, tmp_path, "r1")
    [file] = (tmp_path / "data/flights").glob("*.csv")
    came = pl.read_csv(file, try_parse_dates=True, schema_overrides={"flight_id": pl.String})
    good = came.filter(pl.col("tailnum").is_not_null())
    assert 0 < len(good) < len(came)
    assert lake.dataset("raw.flights").rows == len(good) == derived.rows
    kept = lake.read("quarantine.raw_flights")
    assert kept.num_rows == len(came) - len(good)
    assert set(map(tuple, kept["_reasons"].to_pylist())) == {("tail number is known",)}

    deliver(tmp_path, until, until + timedelta(days=1))
    assert refresh(template, lake, tmp_path, "r2").rows > derived.rows

    rows = pl.DataFrame(lake.read("derived.departures"))
    weather = pl.DataFrame(lake.read("raw.weather"))
    someone = rows.filter(pl.col("temp").is_not_null()).sort("flight_id").row(0, named=True)
    hour = someone["scheduled_at"].replace(minute=0) - timedelta(hours=1)
    [seen] = weather.filter(
        (pl.col("origin") == someone["origin"]) & (pl.col("observed_at") == hour)
    ).rows(named=True)
    assert (seen["temp"], seen["visib"]) == (someone["temp"], someone["visib"])
    assert someone["scheduled_at"].tzinfo is not None
    assert someone["scheduled_at"] > datetime(2013, 1, 1, tzinfo=UTC)
