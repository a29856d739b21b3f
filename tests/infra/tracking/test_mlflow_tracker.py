from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from onward.infra.tracking.mlflow import MlflowTracker

LOG = """
import os, signal, sys
from pathlib import Path
from onward.infra.tracking.mlflow import MlflowTracker

folder, kill = Path(sys.argv[1]), sys.argv[2] == "kill"
tracker = MlflowTracker(folder / "mlflow.db", folder / "artifacts")
if kill:
    from mlflow import MlflowClient
    MlflowClient.set_terminated = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
print(tracker.log_run(experiment="e", name="n", key="k", parameters={"a": 1},
                      metrics={"m": 1.0}, tags={"t": "v"}))
if kill:
    raise SystemExit("not killed")
"""


TELEMETRY = """
import sys
from pathlib import Path
from onward.infra.tracking.store import MlflowStore

folder = Path(sys.argv[1])
with MlflowStore(folder / "mlflow.db").reading():
    pass
from mlflow.telemetry import get_telemetry_client
print(get_telemetry_client())
"""


def log(folder, kill):
    return subprocess.run(
        [sys.executable, "-c", LOG, str(folder), kill], capture_output=True, text=True, check=False
    )


@pytest.mark.crash
def test_a_run_cut_short_is_completed_and_nothing_is_said(tmp_path):
    assert log(tmp_path, "kill").returncode == -signal.SIGKILL
    done = log(tmp_path, "go")
    assert done.returncode == 0
    assert done.stderr == ""
    with MlflowTracker(tmp_path / "mlflow.db", tmp_path / "artifacts").store.reading() as client:
        [experiment] = [e for e in client.search_experiments() if e.name == "e"]
        [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == done.stdout.strip()
    assert run.info.status == "FINISHED"
    assert (run.data.params, run.data.metrics, run.data.tags["t"]) == ({"a": "1"}, {"m": 1.0}, "v")


def test_telemetry_is_off_where_nothing_else_turns_it_off(tmp_path):
    ci = ("CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in ci}
    done = subprocess.run(
        [sys.executable, "-c", TELEMETRY, str(tmp_path)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "None\n"
