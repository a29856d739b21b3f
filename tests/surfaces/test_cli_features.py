"""`onward features` on a shop that serves: discovery, freshness, skew that is found and named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

import onward as ow
from marked_pages import guide
from onward.app.features import audit
from onward.app.project import Project, open_project
from onward.app.settings.sources import read_settings
from onward.core.clock import duration
from onward.core.errors import NotFoundError
from onward.core.records import MonitorReport, SkewReport, Suppressed
from onward.flow.data.features import reads
from onward.flow.run.runs import request
from onward.flow.run.watch import watch
from onward.stages.serve.log.reader import find
from onward.surfaces.cli.commands import cli

GUIDE = guide("features")
BASKET = """    return {"amount": amount, "price": amount / items}"""
FACTOR = """    factor = float(FACTOR.read_text())
    return {"amount": amount, "price": factor * amount / items}"""
MONITORS = """monitors=[
        ow.skew(sample=1.0, max_mismatch=0.001, minimum=10), ow.freshness("3650d", view="habits"),
    ], #"""
IMPORTS = """import onward as ow
from pathlib import Path

FACTOR = Path(__file__).with_name("factor.txt")
"""


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]
) -> Iterator[Project]:
    """A shop with a champion, whose on-demand features read a file that may change, and a view."""
    folder = shops(tmp_path_factory.mktemp("features") / "shop")
    text = (folder / "pipeline.py").read_text()
    [view] = re.findall(r"@ow.feature_view.*?(?=\n\n\n)", text, re.DOTALL)
    for old, new in (
        (view, GUIDE.block("view").replace('"90d"', '"3650d"')),  # the shop's orders grow old
        ("@ow.label", GUIDE.block("on demand").partition("@ow.model")[0] + "@ow.label"),
        ("features=[habits, basket]", "features=[habits, basket, usual]"),
        ('"roc_auc", 0.6', '"roc_auc", 0.5'),
        (BASKET, FACTOR),
        ("monitors=[", MONITORS),
        ("import onward as ow\n", IMPORTS),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "pipeline.py").write_text(text)
    (folder / "factor.txt").write_text("1.0")
    with open_project(folder) as opened:
        outcome = opened.run()
        assert outcome is not None
        assert outcome.state == "promoted"
        yield opened


def invoke(project: Project, *words: str) -> Result:
    return CliRunner().invoke(cli, ["features", *words, "--project", str(project.settings.folder)])


def told(project: Project, *words: str) -> Any:
    done = invoke(project, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def ask(project: Project, name: str, customers: int = 40) -> list[Any]:
    """Ask for an order of each customer, of whom one is unknown; return what was logged."""
    rows = [
        {"order_id": f"{name}-{n}", "customer": f"c{n}", "amount": 10.0 + n, "items": 2}
        for n in range(customers)
    ]
    answers = project.predict([*rows, {**rows[0], "order_id": f"{name}-x", "customer": "nobody"}])
    folder = project.settings.state / "predictions"
    return [find(folder, each["id"]) for each in answers["predictions"]]


def test_views_are_found_by_what_is_said_of_them_and_by_their_columns(project: Project) -> None:
    for words in (["list"], ["search", "GROWTH"], ["search", "usually"], ["search", "mean_am"]):
        found = told(project, *words)[0]
        assert (found["name"], found["description"]) == ("habits", "What a customer usually buys.")
    assert told(project, "search", "weather") == []
    listed = [(found["kind"], found["name"]) for found in told(project)]
    assert listed == [("view", "habits"), ("on-demand", "basket"), ("on-demand", "usual")]
    line = invoke(project).output
    assert "habits" in line
    assert "growth@example.com" in line
    assert "usual  on demand · reads amount, habits__mean_amount" in line
    assert "no feature says 'weather'" in invoke(project, "search", "weather").output


def test_a_view_shows_its_columns_policy_users_and_what_it_came_from(project: Project) -> None:
    found = told(project, "show", "habits")
    assert found["on_missing"] == "default"
    assert found["defaults"] == {"mean_amount": 20, "returns": 0.25}
    [version] = found["versions"]
    assert version["models"] == ["model:order_return@1"]
    assert [column["name"] for column in version["columns"]] == [
        "customer", "mean_amount", "returns",
    ]  # fmt: skip
    assert version["reads"][0].startswith("snapshot:")
    text = invoke(project, "show", "habits").output
    for part in (
        "features:habits@1",
        "current",
        "model:order_return@1",
        "mean_amount=20",
        "written",
    ):
        assert part in text
    assert found["read_by"] == ["usual"]
    for slip, meant in (("habit", "habits"), ("usuel", "usual")):
        error = invoke(project, "show", slip).exception
        assert isinstance(error, NotFoundError)
        assert f"did you mean {meant!r}" in str(error)


def test_a_function_shows_what_it_reads_of_requests_and_of_views(project: Project) -> None:
    found = told(project, "show", "usual")
    assert (found["request"], found["features"]) == (["amount"], ["habits__mean_amount"])
    assert (found["gives"], found["used_by"]) == (["of_usual"], ["model order_return"])
    text = invoke(project, "show", "usual").output
    for part in ("beside what the customer usually spends", "habits__mean_amount", "of_usual"):
        assert part in text


def test_freshness_is_told_by_version_with_who_reads_it(project: Project) -> None:
    [one] = told(project, "status")
    assert one["view"]["name"] == "habits"
    assert one["by"] == ["pipeline", "model:order_return@1 (champion)"]
    assert one["mark"]["newest"].startswith("2026-02-")
    assert not one["behind"]
    assert "up to date" in invoke(project, "status").output


def test_what_was_served_is_what_the_lake_gives_again(project: Project) -> None:
    assert audit(project, sample=1.0, since=duration("1d")) == []
    assert "nothing was predicted" in invoke(project, "audit").output
    logged = ask(project, "same")
    assert logged[0].marks == {}
    assert logged[-1].marks == {"habits": "missing:default"}
    assert logged[-1].features["habits__mean_amount"] == 20.0
    assert logged[-1].features["of_usual"] == 10.0 / 20.0
    for each in logged:
        usual = each.features["habits__mean_amount"]
        assert each.features["of_usual"] == each.request["amount"] / usual
    report = audited(project)
    assert (report.rows, report.differing, report.same) == (41, 0, 1.0)
    assert "100.00% of them served as the lake gives them again" in invoke(project, "audit").output
    fewer = audit(project, sample=0.3, since=duration("1d"))[0].rows
    assert 0 < fewer < report.rows
    found, verdict = watch(project.site, project.definition)
    assert not found.breaches
    assert {(r.monitor, r.subject) for r in found.results} >= {
        ("freshness", "view habits"), ("skew", "feature habits__mean_amount"),
    }  # fmt: skip
    assert verdict is None


def audited(project: Project) -> SkewReport:
    [report] = audit(project, sample=1.0, since=duration("1d"))
    return report


def test_an_on_demand_function_that_came_to_differ_is_named(project: Project) -> None:
    ask(project, "factor")
    factor = project.settings.folder / "factor.txt"
    factor.write_text("1.1")
    try:
        report = audited(project)
        [price] = [feature for feature in report.features if feature.differing]
        assert (price.feature, price.mismatched) == ("price", report.rows)
        assert price.smape == pytest.approx(2 * 0.1 / 2.1)
        text = invoke(project, "audit", "--sample", "1.0").output
        assert "price" in text
        assert "habits__mean_amount" not in text
        assert invoke(project, "audit", "--max-mismatch", "0.01").exit_code == 4
    finally:
        factor.write_text("1.0")
    assert audited(project).differing == 0


def test_a_row_that_was_tampered_with_is_named_in_the_report_and_written_right_again(
    project: Project,
) -> None:
    rows = project.site.lake.read("features.habits_v1").to_pylist()
    right = max((r for r in rows if r["customer"] == "c7"), key=lambda r: r["event_time"])
    [view] = [read.view for read in reads(project.site, project.definition)]
    wrong = pa.table(
        {
            "customer": ["c7"],
            "event_time": pa.array([right["event_time"]], pa.timestamp("us", "UTC")),
            "mean_amount": [right["mean_amount"] * 3],
            "returns": [right["returns"]],
        }
    )
    assert project.site.online.write(view, wrong) == 1
    logged = ask(project, "bad")
    amount, usual = (feature for feature in audited(project).features if feature.differing)
    assert (amount.feature, amount.mismatched) == ("habits__mean_amount", 1)
    assert (usual.feature, usual.mismatched) == ("of_usual", 1)
    assert amount.example == usual.example == logged[7].id
    found, verdict = watch(project.site, project.definition)
    breach, _ = found.breaches
    assert (breach.monitor, breach.subject) == ("skew", "feature habits__mean_amount")
    assert logged[7].id in breach.detail
    assert isinstance(verdict, Suppressed)
    assert "a new model would not cure it" in verdict.reason
    _told_by_monitors(project, found)
    [written] = told(project, "materialize", "habits", "--full")
    assert written == {"view": "features:habits@1", "rows": 40}
    assert told(project, "materialize") == [{"view": "features:habits@1", "rows": 0}]
    assert "up to date" in invoke(project, "materialize").output
    assert ask(project, "well")[7].features["habits__mean_amount"] == right["mean_amount"]


def _told_by_monitors(project: Project, report: MonitorReport) -> None:
    """Hold `onward monitors` against the report that was made."""
    at = ["--project", str(project.settings.folder)]

    def said(*words: str) -> str:
        return CliRunner().invoke(cli, [*words, *at], env={"COLUMNS": "200"}).output

    [newest] = json.loads(said("monitors", "--json"))
    reports = json.loads(said("monitors", "--last", "5", "--json"))
    assert reports[0] == newest
    assert newest["report"]["id"] == report.id
    shown = said("monitors")
    assert f"{report.labelled:,} with a label" in shown
    for result in report.results:
        assert result.monitor in shown
        assert result.subject in shown
    assert shown.splitlines()[-1].startswith("no retraining: skew (feature habits__mean_amount)")
    assert "skew (feature habits__mean_amount), skew (feature of_usual): `onward" in said("status")
    [now] = json.loads(said("monitors", "--now", "--json"))
    assert now["report"]["predictions"] >= report.predictions
    listed = said("monitors", "--last", "5")
    assert listed.count(" to ") == len(reports), "nothing is recorded"
    assert "skew (feature habits__mean_amount), skew (feature of_usual)" in listed


def test_a_changed_view_is_a_new_version_and_the_old_model_keeps_reading_its_own(
    project: Project,
) -> None:
    before = ask(project, "v1", customers=1)[0].features["habits__mean_amount"]
    file = project.settings.pipeline
    file.write_text(file.read_text().replace("_.amount.mean()", "_.amount.max() + 1000"))
    project.reload()
    outcome = project.deliver(request(project.site, "new data", "data", train=False))
    assert outcome.state == "refreshed"
    found = told(project, "show", "habits")
    assert [(v["ref"], v["current"], v["models"]) for v in found["versions"]] == [
        ("features:habits@2", True, []),
        ("features:habits@1", False, ["model:order_return@1"]),
    ]
    assert {tuple(one["by"]) for one in told(project, "status")} == {
        ("pipeline",), ("model:order_return@1 (champion)",),
    }  # fmt: skip
    assert ask(project, "v2", customers=1)[0].features["habits__mean_amount"] == before


def test_the_guides_monitors_can_be_declared_and_every_command_is_there(project: Project) -> None:
    declared: dict[str, Any] = {"ow": ow}
    exec(GUIDE.block("monitors"), declared)
    assert [type(monitor).__name__ for monitor in declared["monitors"]] == ["Freshness", "Skew"]
    for words in re.findall(r"^\$ onward features ?(\w*)", GUIDE, re.MULTILINE):
        assert invoke(project, *filter(None, [words]), "--help").exit_code == 0
    settings = re.search(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    assert settings is not None
    (project.settings.folder / "onward.toml").write_text(settings[1])
    assert read_settings(project.settings.folder).online.store == "redis"
