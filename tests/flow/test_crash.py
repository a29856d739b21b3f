"""``kill -9`` at every boundary and inside the effects: each effect is there once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onward.app.project import open_project

DRIVER = Path(__file__).parent / "crash_driver.py"
STEPS = (
    "ingest orders",
    "validate orders",
    "transform sold",
    "validate sold",
    "features habits",
    "features training",
    "train model",
    "evaluate champion",
    "evaluate model",
    "register model",
    "deploy staging",
    "serve release",
)
LAKE = "onward.infra.lake.iceberg:IcebergLake"
REGISTRY = "onward.stages.register.adapters.mlflow:MlflowRegistry"
INSIDE = (
    ("before", f"{LAKE}.stage"),
    ("after", f"{LAKE}.stage"),
    ("after", f"{LAKE}.append"),
    ("before", f"{LAKE}.publish"),
    ("after", f"{LAKE}.publish"),
    ("after", f"{REGISTRY}.add"),
    ("before", "onward.flow.release.loop:enact"),
    ("before", "onward.flow.release.routing:write_routes"),
    ("before", f"{REGISTRY}.promote"),
    ("after", f"{REGISTRY}.promote"),
)


def drive(folder: Path, *place: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DRIVER), str(folder), *place]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def state(folder: Path) -> dict[str, Any]:
    """Return what a run leaves, without ids and times that differ between two projects."""
    with open_project(folder) as project:
        lake, ledger = project.site.lake, project.ledger
        told = [t.event for t in ledger.events()]
        versions = project.models()
        return {
            "rows": {t: lake.dataset(t).rows for t in lake.tables()},
            "orders": sorted(lake.read("raw.orders")["order_id"].to_pylist()),
            "quarantined": sorted(lake.read("quarantine.raw_orders")["order_id"].to_pylist()),
            "commits": {t: len(lake.history(t)) for t in lake.tables()},
            "events": Counter(event.kind for event in told),
            "versions": [(v.version, tuple(v.aliases)) for v in versions],
            "routes": sorted(p.name for p in (folder / ".onward" / "routes").glob("*.json")),
            "images": len(list((folder / ".onward" / "images").iterdir())),
            "chain": ledger.verify() == len(told),
        }


@pytest.fixture(scope="module")
def unharmed(
    tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]
) -> tuple[Path, dict[str, Any]]:
    """A project before its first run, and what an undisturbed run of its twin leaves."""
    folder = shops(tmp_path_factory.mktemp("crash") / "shop")
    twin = folder.parent / "twin" / "shop"
    shutil.copytree(folder, twin)
    ended = drive(twin)
    assert ended.stdout.strip() == "promoted", ended.stderr
    return folder, state(twin)


def test_an_undisturbed_run_passes_every_boundary(unharmed: tuple[Path, dict[str, Any]]) -> None:
    _, expected = unharmed
    assert expected["events"]["run.finished"] == 1
    assert expected["versions"] == [(1, ("champion",))]
    assert len(expected["orders"]) + len(expected["quarantined"]) == 400
    assert expected["chain"]


@pytest.mark.crash
@pytest.mark.slow
def test_killed_at_every_stage_boundary(
    unharmed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    pristine, expected = unharmed
    folder = tmp_path / "shop"
    shutil.copytree(pristine, folder)
    for step in STEPS:
        killed = drive(folder, "after", f"step {step}")
        assert killed.returncode == -signal.SIGKILL, f"{step}: {killed.stdout} {killed.stderr}"
    assert drive(folder).returncode == 0
    assert state(folder) == expected


@pytest.mark.crash
@pytest.mark.slow
def test_killed_inside_ingest_publish_register_and_promote(
    unharmed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    pristine, expected = unharmed
    folder = tmp_path / "shop"
    shutil.copytree(pristine, folder)
    for when, place in INSIDE:
        killed = drive(folder, when, place)
        assert killed.returncode == -signal.SIGKILL, f"{place}: {killed.stdout} {killed.stderr}"
    assert drive(folder).returncode == 0
    assert state(folder) == expected


def test_after_a_crash_the_run_is_finished_once_and_then_nothing_is_new(
    unharmed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    pristine, _ = unharmed
    folder = tmp_path / "shop"
    shutil.copytree(pristine, folder)
    assert drive(folder, "after", "step validate orders").returncode == -signal.SIGKILL
    with open_project(folder) as project:
        assert [run.state for run in project.runs()] == [None]
        resumed = project.resume()
        assert resumed is not None
        assert resumed.state == "promoted"
        assert project.resume() is None
        assert project.run() is None
