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
from onward.flow.run.runs import request
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
    function = names["transformed_conv_rate"]
    assert [m.selected for m in part.members[:-1]] == [("conv_rate",)]
    assert list(whole.members) == [view, function]
    assert imported.functions == ("transformed_conv_rate", "transformed_conv_rate_fresh")


def test_what_has_no_counterpart_is_said(found: dict[str, Any]) -> None:
    notes = " | ".join(translate(found).notes)
    for words in (
        "'driver_metadata' of 'driver_hourly_stats' is MAP",
        "also has a stream source",
        "label view 'driver_quality_labels'",
    ):
        assert words in notes


def test_an_on_demand_view_reads_the_features_that_its_code_reads(found: dict[str, Any]) -> None:
    declared = module(translate(found).code)["transformed_conv_rate"]
    assert declared.request == ("val_to_add", "val_to_add_2")
    assert declared.features == ("driver_hourly_stats__conv_rate",)
    given = declared.function(pd.Series([1, 2]), pd.Series([10, 20]), pd.Series([0.25, None]))
    assert list(given["conv_rate_plus_val1"])[:1] == [1.25]
    assert given["conv_rate_plus_val2"].isna().tolist() == [False, True]


AS_LISTS = """\
@on_demand_feature_view(sources=[driver_stats_fv, input_request], mode="python", schema=[])
def trips(inputs: dict[str, Any]) -> dict[str, Any]:
    full = inputs["driver_hourly_stats__avg_daily_trips"]
    return {"plus": [None if n is None else n + v for n, v in zip(full, inputs["val_to_add"])]}
"""
ROW_BY_ROW = """\
def trips(inputs: dict[str, Any]) -> dict[str, Any]:
    trips = inputs["avg_daily_trips"]
    return {"plus": None if trips is None else trips + inputs["val_to_add"]}
"""


@pytest.mark.parametrize(("code", "singleton"), [(AS_LISTS, False), (ROW_BY_ROW, True)])
def test_pythons_mode_gets_lists_or_values_with_none_for_what_is_missing(
    found: dict[str, Any], code: str, singleton: bool
) -> None:
    spec = found["onDemandFeatureViews"][0]["spec"]
    spec |= {"mode": "python", "singleton": singleton, "features": [INT_PLUS]}
    spec["featureTransformation"]["userDefinedFunction"] |= {"mode": "python", "bodyText": code}
    declared = module(translate(found).code)["transformed_conv_rate"]
    assert declared.inputs == ("val_to_add", "driver_hourly_stats__avg_daily_trips")
    whole, missing = pd.Series([1.0, 2.0, 3.0]), pd.Series([10.0, None, 30.0])
    given = declared.function(whole, missing)
    assert [None if pd.isna(v) else v for v in given["plus"]] == [11, None, 33]
    empty = pd.Series([], dtype="float64")
    assert len(declared.function(empty, empty)["plus"]) == 0


INT_PLUS = {"name": "plus", "valueType": "INT64"}


@pytest.mark.parametrize(
    ("code", "changed", "says"),
    [
        ("def f(inputs):\n    return helper(inputs['conv_rate'])", {}, "uses 'helper'"),
        ("def f(inputs):\n    return inputs['driver_metadata']", {},
         "reads 'driver_metadata', which is no number"),
        ("def f(inputs):\n    return {'x': 1}", {}, "reads no column"),
        ("def f(inputs, more=1):\n    return inputs['conv_rate']", {}, "has code that takes more"),
        ("lambda inputs: inputs", {}, "has code that is not readable"),
        ("def broken(", {}, "has code that is not readable"),
        (None, {"features": [{"name": "x", "valueType": "FLOAT_LIST"}]}, "gives 'x', which is FL"),
        (None, {"sources": {"s": {"streamSource": {}}}}, "reads what is neither"),
    ],
)  # fmt: skip
def test_what_an_on_demand_view_cannot_be_is_said(
    found: dict[str, Any], code: str | None, changed: dict[str, Any], says: str
) -> None:
    spec = found["onDemandFeatureViews"][0]["spec"]
    spec |= changed
    if code is not None:
        spec["featureTransformation"]["userDefinedFunction"]["bodyText"] = code
    imported = translate(found)
    assert imported.functions == ("transformed_conv_rate_fresh",)
    notes = " | ".join(imported.notes)
    assert f"on-demand view 'transformed_conv_rate' {says}" in notes
    assert "feature service 'driver_activity_v1' is without 'transformed_conv_rate'" in notes


def test_other_modes_views_that_are_left_out_and_shared_names_are_said(
    found: dict[str, Any],
) -> None:
    first, second = (view["spec"] for view in found["onDemandFeatureViews"])
    first["featureTransformation"]["userDefinedFunction"]["mode"] = "substrait"
    second["sources"] |= copy.deepcopy(first["sources"])
    notes = " | ".join(translate(found).notes)
    assert "'transformed_conv_rate' is of mode 'substrait'" in notes
    assert "reads 'conv_rate', which two of its sources have" in notes
    found["featureViews"][1]["spec"]["entities"] = ["__dummy"]
    assert "reads 'driver_hourly_stats_fresh', which is left out" in " | ".join(
        translate(found).notes
    )


def test_code_that_looks_at_its_input_as_a_whole_gets_all_of_it(found: dict[str, Any]) -> None:
    spec = found["onDemandFeatureViews"][0]["spec"]
    spec["featureTransformation"]["userDefinedFunction"]["bodyText"] = (
        "def f(inputs):\n    return inputs.assign(a=np.log1p(inputs['val_to_add']))"
    )
    code = translate(found).code
    assert code.index("import numpy as np") < code.index("import pandas as pd")
    declared = module(code)["transformed_conv_rate"]
    assert declared.read_of("driver_hourly_stats") == ("conv_rate", "acc_rate", "avg_daily_trips")
    given = declared.function(*[pd.Series([0.5])] * 5)
    assert list(given) == [
        "val_to_add", "val_to_add_2", "conv_rate", "driver_hourly_stats__conv_rate", "acc_rate",
        "driver_hourly_stats__acc_rate", "avg_daily_trips", "driver_hourly_stats__avg_daily_trips",
        "a",
    ]  # fmt: skip


def test_functions_of_one_name_stay_two(found: dict[str, Any]) -> None:
    for spec, sign in zip(
        (view["spec"] for view in found["onDemandFeatureViews"]), "+-", strict=True
    ):
        spec["featureTransformation"]["userDefinedFunction"] |= {
            "mode": "pandas",
            "bodyText": f"def f(x):\n    return pd.DataFrame({{'a': 1 {sign} x['val_to_add']}})",
        }
    declared = module(translate(found).code)
    given = [
        declared[name].function(pd.Series([2]))["a"].tolist()
        for name in ("transformed_conv_rate", "transformed_conv_rate_fresh")
    ]
    assert given == [[3], [-1]]


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


def test_what_shares_a_name_in_feast_has_one_of_its_own_here(found: dict[str, Any]) -> None:
    first, second = (view["spec"] for view in found["featureViews"])
    first["batchSource"]["name"] = first["name"]
    second["batchSource"] |= {"name": first["name"] + "_source"}
    second["name"] = "Driver hourly stats"
    found["featureServices"][0]["spec"]["name"] = first["name"]
    found["featureServices"][1]["spec"]["name"] = "class"
    imported = translate(found)
    names = module(imported.code)
    assert imported.views == ("driver_hourly_stats", "driver_hourly_stats_view")
    assert imported.sources == ("driver_hourly_stats_source", "driver_hourly_stats_source_source")
    assert [names[view].inputs[0] for view in imported.views] == list(imported.sources)
    assert imported.services[:2] == ("driver_hourly_stats_service", "class_service")
    told = "source 'driver_hourly_stats' is called 'driver_hourly_stats_source'"
    assert f"{told}: that name is taken" in imported.notes


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
    said = "1 source, 2 feature views, 2 on-demand functions, 3 feature services"
    assert said in " ".join(done.output.split())  # it breaks lines where the path is long
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
