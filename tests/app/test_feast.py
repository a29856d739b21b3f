"""Importing from Feast: a registry that Feast 0.67 wrote, and what becomes of it.

`feast_registry.json` is what ``feast init -t local``, ``feast apply`` and ``feast registry-dump``
left, unchanged but for its indentation.
"""

from __future__ import annotations

import copy
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from onward.app.feast import registry, translate
from onward.app.load import load_definition
from onward.app.project import open_project
from onward.core.errors import DataError, DeclarationError, NotFoundError
from onward.flow.runs import request
from onward.surfaces.cli.commands import cli

DUMP = Path(__file__).parent / "feast_registry.json"
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def found() -> dict[str, Any]:
    return copy.deepcopy(dict(registry(DUMP)))


def module(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "features"}
    exec(compile(code, "features.py", "exec"), names)
    return names


def test_sources_views_and_services_become_ours(found: dict[str, Any]) -> None:
    imported = translate(found)
    names = module(imported.code)
    source, view = names["driver_hourly_stats_source"], names["driver_hourly_stats"]
    assert imported.sources == ("driver_hourly_stats_source",)
    assert (source.origin.pattern, source.event_time, source.available_at) == (
        "data/driver_stats.parquet", "event_timestamp", "created",
    )  # fmt: skip
    assert source.key == ("driver_id", "event_timestamp", "created")
    assert (view.entity, view.ttl, view.tags) == (
        ("driver_id",), timedelta(days=1), ("team=driver_performance",),
    )  # fmt: skip
    part, whole = names["driver_activity_v1"], names["driver_activity_v2"]
    assert [m.selected for m in part.members] == [("conv_rate",)]
    assert list(whole.members) == [view]
    assert "ow.on_demand" not in imported.code


def test_what_has_no_counterpart_is_said(found: dict[str, Any]) -> None:
    notes = " | ".join(translate(found).notes)
    for words in (
        "'driver_metadata' of 'driver_hourly_stats' is MAP",
        "also has a stream source",
        "'transformed_conv_rate' reads features of views",
        "label view 'driver_quality_labels'",
        "'driver_activity_v1' is without 'transformed_conv_rate'",
    ):
        assert words in notes


def test_an_on_demand_view_of_the_request_keeps_its_code(found: dict[str, Any]) -> None:
    spec = found["onDemandFeatureViews"][0]["spec"]
    del spec["sources"]["driver_hourly_stats"]
    spec["featureTransformation"]["userDefinedFunction"]["bodyText"] = """\
@on_demand_feature_view(sources=[input_request], schema=[])
def added(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["conv_rate_plus_val1"] = inputs["val_to_add"] + inputs["val_to_add_2"]
    return df
"""
    declared = module(translate(found).code)["transformed_conv_rate"]
    assert declared.inputs == ("val_to_add", "val_to_add_2")
    given = declared.function(pd.Series([1, 2]), pd.Series([10, 20]))
    assert list(given["conv_rate_plus_val1"]) == [11, 22]


def test_code_that_cannot_be_read_is_left_out(found: dict[str, Any]) -> None:
    spec = found["onDemandFeatureViews"][0]["spec"]
    del spec["sources"]["driver_hourly_stats"]
    for text in ("lambda inputs: inputs", "def broken("):
        spec["featureTransformation"]["userDefinedFunction"]["bodyText"] = text
        assert any("is not readable" in note for note in translate(found).notes)


def test_other_sources_and_names(found: dict[str, Any]) -> None:
    view = found["featureViews"][0]["spec"]
    view |= {"name": "Driver-Stats", "ttl": "0s", "owner": "ada", "description": 'the "best"'}
    view["entities"] = ["driver", "customer"]
    view["batchSource"] = {
        "name": "2nd", "type": "BATCH_SNOWFLAKE", "timestampField": "ts",
        "snowflakeOptions": {"table": "stats"}, "fieldMapping": {"a": "b"},
    }  # fmt: skip
    found["featureViews"][1]["spec"]["entities"] = ["__dummy"]
    imported = translate(found)
    declared = module(imported.code)["driver_stats"]
    assert (declared.entity, declared.ttl) == (("driver_id", "customer"), None)
    assert (declared.owner, declared.description) == ("ada", 'the "best"')
    source = module(imported.code)["v_2nd"]
    assert (source.origin.table, source.origin.cursor, source.available_at) == ("stats", "ts", "ts")
    notes = " | ".join(imported.notes)
    for words in (
        "'Driver-Stats' is called 'driver_stats'", "DATABASE_URL", "maps columns",
        "has no created timestamp", "has no entity", "has no feature left",
    ):  # fmt: skip
        assert words in notes


def test_imported_views_are_published_from_the_files_that_feast_read(
    tmp_path: Path, shops: Callable[[Path], Path]
) -> None:
    folder = shops(tmp_path / "shop")
    rows = [
        {
            "driver_id": d, "event_timestamp": START + timedelta(hours=h),
            "created": START + timedelta(hours=h, minutes=5), "conv_rate": d + h / 10,
            "acc_rate": 0.5, "avg_daily_trips": h,
        }
        for d in (1001, 1002) for h in range(4)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "driver_stats.parquet")
    words = ["import", "feast", str(DUMP), "--out", str(folder / "features.py")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "1 sources, 2 feature views, 3 feature services" in done.output
    file = folder / "pipeline.py"
    taken = "\n\nfrom features import *\n\npipeline"
    file.write_text(file.read_text().replace("\n\npipeline", taken))
    assert set(load_definition(file).services) == {f"driver_activity_v{n}" for n in (1, 2, 3)}
    with open_project(folder) as project:
        project.deliver(request(project.site, "data only", train=False))
        stored = project.site.lake.read("features.driver_hourly_stats_v1").to_pylist()
    assert {(r["driver_id"], r["event_time"], r["conv_rate"]) for r in stored} == {
        (r["driver_id"], r["event_timestamp"], r["conv_rate"]) for r in rows
    }
    assert isinstance(CliRunner().invoke(cli, words).exception, DeclarationError)


def test_it_is_printed_unless_a_file_is_named() -> None:
    printed = CliRunner().invoke(cli, ["import", "feast", str(DUMP)])
    assert "driver_hourly_stats_source = ow.Source(" in printed.output
    told = json.loads(CliRunner().invoke(cli, ["import", "feast", str(DUMP), "--json"]).output)
    assert told["views"] == ["driver_hourly_stats", "driver_hourly_stats_fresh"]


def command(folder: Path, script: str) -> str:
    file = folder / "feast"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def test_a_repository_is_asked_of_its_own_feast(tmp_path: Path) -> None:
    feast = command(tmp_path, f'[ "$1" = registry-dump ] && echo warning && cat {DUMP}')
    assert registry(tmp_path, feast=feast) == registry(DUMP)
    with pytest.raises(DataError, match=r"registry-dump` failed .*: no store here"):
        registry(tmp_path, feast=command(tmp_path, "echo no store here >&2; exit 1"))
    with pytest.raises(NotFoundError, match="no command") as caught:
        registry(tmp_path, feast=str(tmp_path / "nothing"))
    assert "--feast" in caught.value.next_step


def test_what_is_no_registry_is_refused(tmp_path: Path) -> None:
    for text in ("[]", '{"half": '):
        (tmp_path / "dump.json").write_text(text)
        with pytest.raises(DataError, match="no Feast registry"):
            registry(tmp_path / "dump.json")
    with pytest.raises(NotFoundError, match="nothing at"):
        registry(tmp_path / "elsewhere")
