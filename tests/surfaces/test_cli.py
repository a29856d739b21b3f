"""The command line on the small shop: what a person types, sees, and gets for a mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from onward.app.project import open_project
from onward.core.errors import DataError, DeclarationError, Location, NotFoundError, OnwardError
from onward.flow.run.runs import called_for
from onward.surfaces import cli as surface
from onward.surfaces.cli.commands import cli
from onward.surfaces.cli.show import show_error

COMMANDS = (
    "init", "run", "up", "status", "predict", "score", "feedback", "lineage", "rollback", "runs",
    "models", "settings", "cancel",
    "experiment", "demo", "transform", "graph", "test", "profile", "openlineage", "diff", "erase",
    "ingest", "catalog", "reveal", "approve", "predictions", "gateway", "monitors",
)  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    """A shop after its first run."""
    folder = shops(tmp_path_factory.mktemp("cli") / "shop")
    ran = invoke("run", "--project", str(folder))
    assert ran.exit_code == 0, ran.output
    assert "promoted" in ran.output
    return folder


def invoke(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(words), input=stdin)


def asked(folder: Path, *words: str) -> str:
    done = invoke(*words, "--project", str(folder))
    assert done.exit_code == 0, done.output
    return done.output


def told(folder: Path, *words: str) -> Any:
    return json.loads(asked(folder, *words, "--json"))


def refused(folder: Path, *words: str) -> OnwardError:
    done = invoke(*words, "--project", str(folder))
    assert isinstance(done.exception, OnwardError), done.output
    return done.exception


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    shown = invoke(command, "--help")
    assert shown.exit_code == 0
    assert f"Example: onward {command}" in shown.output


def test_every_command_is_checked() -> None:
    named = {command.name or command.callback.__name__ for command in cli.registered_commands}
    assert named == set(COMMANDS)
    assert "Example: onward audit verify" in invoke("audit", "verify", "--help").output


@pytest.mark.parametrize("group", [None, *(group.name for group in cli.registered_groups)])
def test_no_line_of_help_is_cut_off_in_eighty_columns(
    group: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = invoke(*([group] if group else []), "--help").output
    assert [line for line in shown.splitlines()[1:] if line.endswith("...")] == []


def test_a_line_number_is_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(DeclarationError("it fails", location=Location("pipeline.py", 100)))
    assert "pipeline.py:100: it fails" in capsys.readouterr().err


def test_the_version_is_printed() -> None:
    from onward import __version__

    assert invoke("--version").output.strip() == __version__


def test_a_second_run_says_that_nothing_is_new(project: Path) -> None:
    assert "nothing new" in asked(project, "run")
    assert told(project, "run")["state"] == "nothing new"
    assert "nothing to resume" in asked(project, "run", "--resume")


def test_rows_may_come_by_stdin(project: Path) -> None:
    row = '{"order_id": "x2", "customer": "c1", "amount": 30.0, "items": 2}'
    done = invoke("predict", "-", "--json", "--project", str(project), stdin=row)
    assert [p["version"] for p in json.loads(done.output)["predictions"]] == [1]


def test_a_gateway_started_for_one_call_answers_as_the_pipeline_says_now(project: Path) -> None:
    pipeline = project / "pipeline.py"
    before = pipeline.read_text()
    rows = '[{"order_id": "x3", "customer": "c1", "amount": 30.0, "items": 2}]'
    two = rows.replace("]", f", {rows[1:]}")
    try:
        pipeline.write_text(
            before.replace("    gates=[", "    serving=ow.Serving(rows=1),\n    gates=[")
        )
        assert len(told(project, "predict", rows)["predictions"]) == 1
        assert "413" in str(refused(project, "predict", two))
    finally:
        pipeline.write_text(before)
    assert len(told(project, "predict", two)["predictions"]) == 2


def test_status_and_runs_and_models(project: Path) -> None:
    status = told(project, "status")
    assert status["champion"] == 1
    assert status["gateway"] is None
    assert {d["name"]: d["quarantined"] for d in status["datasets"]}["raw.orders"] == 10
    assert "version 1" in asked(project, "status")
    [run] = told(project, "runs")
    assert run["state"] == "promoted"
    shown = asked(project, "runs", run["id"])
    assert "amount is positive" in shown
    assert "roc_auc" in shown
    assert told(project, "runs", run["id"])["evaluation"]["passed"]
    [version] = told(project, "models")
    assert version["aliases"] == ["champion"]
    assert "champion" in asked(project, "models")
    assert run["id"] in asked(project, "runs")


def test_what_a_caller_would_send_is_printed_and_nobody_asked(project: Path) -> None:
    before = told(project, "predictions", "--limit", "1000")
    body = json.loads(asked(project, "predict", "--sample", "2", "--body"))
    assert [*body] == ["rows"]
    assert {*body["rows"][0]} >= {"order_id", "customer", "amount", "items"}
    assert told(project, "predictions", "--limit", "1000") == before
    again = told(project, "predict", json.dumps(body["rows"]))["predictions"]
    assert [p["unit"] for p in again] == [row["order_id"] for row in body["rows"]]


def test_predict_and_trace(project: Path) -> None:
    answer = told(project, "predict", "--sample", "2")
    assert len(answer["predictions"]) == 2
    first = answer["predictions"][0]
    assert 0 <= first["output"] <= 1
    row = {"order_id": "x1", "customer": "c1", "amount": 30.0, "items": 2}
    shown = asked(project, "predict", json.dumps(row))
    assert "version 1" in shown
    odd = asked(project, "predict", json.dumps([{**row, "order_id": "[/x]"}]))
    assert "order_id=[/x]" in odd
    traced = told(project, "lineage", first["id"])
    assert traced["prediction"]["model"] == "model:order_return@1"
    assert any(r.startswith("snapshot:raw.orders@") for r in traced["prediction"]["sources"])
    assert "training set" in asked(project, "lineage", first["id"])
    listed = told(project, "predictions", "--unit", first["unit"], "--since", "1h")
    assert first["id"] in [each["id"] for each in listed]
    assert {each["unit"] for each in listed} == {first["unit"]}
    assert first["unit"] in asked(project, "predictions", "--limit", "50", "--arm", "champion")
    assert told(project, "predictions", first["id"])["output"] == first["output"]
    assert f"unit       {first['unit']}" in asked(project, "predictions", first["id"])
    assert asked(project, "predictions", "--failed") == "there are no such predictions\n"
    assert "made by" in asked(project, "lineage", "model:order_return@1")


def test_feedback_of_a_prediction(project: Path) -> None:
    from onward.flow.release.feedback import told as read

    [prediction] = told(project, "predict", "--sample", "1")["predictions"]
    about = prediction["id"]
    with open_project(project) as opened:
        assert read(opened.site, "order_return", "reward").num_rows == 0
    assert "of prediction" in asked(project, "feedback", about, "1")
    asked(project, "feedback", about, "false")
    asked(project, "feedback", about, "2.5", "--name", "reward")
    answer = told(project, "feedback", about, "[/late]", "--name", "why")
    assert answer["feedback"][0]["prediction"] == about
    with open_project(project) as opened:
        found = {
            name: read(opened.site, "order_return", name).to_pylist()
            for name in ("label", "reward", "why")
        }
        later = opened.site.clock.now() + timedelta(days=1)
        assert read(opened.site, "order_return", "reward", since=later).num_rows == 0
    assert {name: [(r["value"], r["text"]) for r in rows] for name, rows in found.items()} == {
        "label": [(0.0, None)], "reward": [(2.5, None)], "why": [(None, "[/late]")],
    }  # fmt: skip
    assert found["label"][0]["prediction"] == about
    missing = invoke("feedback", "mab.0.8.0", "1", "--project", str(project))
    assert isinstance(missing.exception, NotFoundError)
    refused = invoke("feedback", about, "1", "--name", "Bad", "--project", str(project))
    assert isinstance(refused.exception, DataError)
    assert "no feedback" in str(refused.exception)
    refused = invoke("feedback", about, "maybe", "--project", str(project))
    assert isinstance(refused.exception, DataError)
    assert "\"maybe\" is no label of model 'order_return'" in str(refused.exception)
    assert "0, 1, true or false" in str(refused.exception)
    shown = told(project, "predictions", about)
    assert shown["id"] == about
    assert [(s["name"], s["value"]) for s in shown["feedback"]] == [
        ("label", 0.0), ("reward", 2.5), ("why", "[/late]"),
    ]  # fmt: skip
    assert "reward 2.5 (" in asked(project, "predictions", about)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("predict", "{"), 3, "not JSON"),
        (("predict", "3"), 3, "not JSON objects"),
        (("predict", "[]"), 3, "not JSON objects"),
        (("predictions", "--model", "order_retrun"), 2, "did you mean 'order_return'"),
        (("predictions", "--arm", "champoin", "--since", "1h"), 2, "did you mean 'champion'"),
        (("predict", '{"order_id": "x", "customer": "c1", "amout": 3, "items": 1}'), 3, "'amout'"),
        (("runs", "nope"), 2, "there is no run 'nope'"),
        (("lineage", "modle:order_return@1"), 2, "did you mean 'model'"),
        (("predictions", "--since", "yesterday"), 2, "no time"),
        (("predictions", "a.0.8.0"), 2, "there is no prediction 'a.0.8.0'"),
        (("lineage", "model:order_return@9"), 2, "model:order_return@1"),
        (("predict", '{"order_id": "x"}'), 3, "`onward predict --body` shows what a whole row is"),
        (("rollback",), 2, "no predecessor"),
    ],
)
def test_a_mistake_ends_in_its_message(
    project: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    error = refused(project, *words)
    assert error.exit_code == code
    assert said in f"{error} {error.next_step}"


def test_the_ledger_is_verified(project: Path) -> None:
    assert told(project, "audit", "verify")["intact"]
    assert "intact" in asked(project, "audit", "verify")


def test_experiment_chooses_what_the_next_run_trains(project: Path) -> None:
    chosen = told(project, "experiment", "--trials", "2")
    assert chosen["trials"] == 2
    assert "c" in chosen["parameters"]
    with open_project(project) as opened:
        assert called_for(opened.site, opened.definition) == "a search chose its parameters"


QUESTIONS = """
import sys
from datetime import timedelta
from pathlib import Path
from onward.app.catalog import entries
from onward.app.features import audit
from onward.app.project import open_project
with open_project(Path(sys.argv[1])) as project:
    assert [v.version for v in project.models()] == [1]
    assert [e.ref for e in entries(project) if e.kind == "model"] == ["model:order_return@1"]
    assert [r.version for r in audit(project, sample=1.0, since=timedelta(days=1))] == [1]
assert "mlflow" not in sys.modules
"""


def test_questions_about_versions_are_answered_without_the_registrys_library(
    project: Path,
) -> None:
    row = '{"order_id": "x3", "customer": "c1", "amount": 30.0, "items": 2}'
    asked(project, "predict", row)
    done = subprocess.run(
        [sys.executable, "-c", QUESTIONS, str(project)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_init_writes_a_project_once(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    done = invoke("init", str(target), "--json")
    assert done.exit_code == 0
    assert (target / "pipeline.py").exists()
    again = invoke("init", str(target))
    assert isinstance(again.exception, OnwardError)
    assert again.exception.exit_code == 1
    assert "is there already" in str(again.exception)
    wrong = invoke("init", str(tmp_path / "other"), "--template", "startr")
    assert isinstance(wrong.exception, OnwardError)
    assert wrong.exception.exit_code == 2
    assert "did you mean 'starter'" in str(wrong.exception)
    assert not (tmp_path / "other").exists()
    shown = invoke("init", str(tmp_path / "third"), "--template", "flights")
    assert "onward run" in shown.output


def test_main_prints_errors_to_stderr_and_exits_with_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["onward", "status", "--project", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        surface.main()
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "is no Onward project" in said.err
    assert "Traceback" not in said.err


def test_a_corrupt_ledger_or_lake_is_named_not_a_traceback(
    tmp_path: Path, shops: Callable[[Path], Path]
) -> None:
    folder = shops(tmp_path / "shop")
    state = folder / ".onward"
    (state / "lake").mkdir(parents=True)
    (state / "onward.db").write_bytes(b"no database at all" * 100)
    assert refused(folder, "runs").exit_code == 6
    (state / "onward.db").unlink()
    for name in ("catalog.db", "catalog.sqlite"):
        (state / "lake" / name).write_bytes(b"no catalog at all" * 400)
    assert refused(folder, "run").exit_code == 6


def test_a_rejected_run_exits_with_4_a_held_one_with_3_and_a_busy_one_with_5(
    shop: Path, orders: Callable[..., Path]
) -> None:
    pipeline = shop / "pipeline.py"
    pipeline.write_text(pipeline.read_text().replace('("roc_auc", 0.6)', '("roc_auc", 0.999)'))
    rejected = typed(shop, "run", "--json")
    assert rejected.returncode == 4, rejected.stderr
    assert json.loads(rejected.stdout)["state"] == "rejected"

    orders(shop, "few", rows=5, start=datetime(2026, 2, 12, tzinfo=UTC), days=1)
    held = typed(shop, "run")
    assert held.returncode == 3, held.stderr
    assert "enough rows" in held.stdout
    assert "next: `onward quarantine`" in held.stdout

    with open_project(shop).alone():
        busy = typed(shop, "experiment", "--trials", "1")
    assert busy.returncode == 5
    assert f"process {os.getpid()} is running the project" in busy.stderr
    assert "Traceback" not in busy.stderr


def typed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command in a project's folder."""
    command = [sys.executable, "-c", "from onward.surfaces.cli import main; main()", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
