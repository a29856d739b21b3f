"""Feature services: a model that takes one, and people who read one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import onward as ow
from marked_pages import guide
from onward.app.load import load_definition
from onward.app.on_request import _by_policy
from onward.app.project import open_project
from onward.app.services import online
from onward.core.errors import DataError, DeclarationError, NotFoundError
from onward.core.records import ViewPlan
from onward.surfaces.cli.commands import cli

GUIDE = guide("features")
MODEL = re.compile(r"(?ms)@ow.model\(.*?^\)\ndef order_return\(X, y, c=1.0\):\n")


def with_service(shop: Path) -> Path:
    """Let the shop's model take its features as the guide says."""
    said = GUIDE.block("service").rstrip().removesuffix("...").rstrip()
    file = shop / "pipeline.py"
    code, count = MODEL.subn(lambda _: f"{said}\n", file.read_text())
    assert count == 1
    file.write_text(code)
    return shop


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    folder = with_service(shops(tmp_path_factory.mktemp("services") / "shop"))
    with open_project(folder) as project:
        assert project.run().state == "promoted"
    return folder


def asked(folder: Path, *words: str) -> Any:
    done = CliRunner().invoke(cli, ["features", *words, "--json", "--project", str(folder)])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_a_model_takes_the_parts_that_its_service_names_and_serves_them(trained: Path) -> None:
    with open_project(trained) as project:
        row = project.sample(1)[0]
        [predicted] = project.predict([row])["predictions"]
        logged = project.lineage(predicted["id"]).prediction
        [model] = project.models()
        plan = json.loads((Path(model.model.path) / "plan.json").read_text())["plan"]
    names = [column["name"] for column in plan["columns"]]
    assert names == ["habits__mean_amount", "amount", "price"]
    assert logged.features == ("features:habits@1",)
    [view] = plan["views"]
    assert view["columns"] == ["mean_amount", "returns"], "the view's table is whole"


def test_services_are_listed(trained: Path) -> None:
    assert asked(trained, "services") == [
        {
            "name": "buying",
            "features": ["habits[mean_amount]", "basket"],
            "owner": "growth@example.com",
            "tags": [],
            "description": "What a customer buys, and what is in the basket.",
        }
    ]
    shown = CliRunner().invoke(cli, ["features", "services", "--project", str(trained)]).output
    assert "habits[mean_amount], basket" in shown


def test_a_service_and_a_view_are_read_for_one_entity(trained: Path) -> None:
    with open_project(trained) as project:
        customer = project.site.lake.read("features.habits_v1")["customer"][0].as_py()
    served, basket = asked(trained, "get", "buying", f"customer={customer}")
    assert (basket["feature"], basket["value"]) == ("basket", None)
    assert basket["needs"] == ["amount", "items"]
    shown = CliRunner().invoke(
        cli, ["features", "get", "buying", f"customer={customer}", "--project", str(trained)]
    )
    assert f" {served['value']:.4g} " in shown.output
    assert "on demand, needs amount= items=" in shown.output
    assert served["feature"] == "habits__mean_amount"
    assert served["value"] > 0
    assert not served["stale"]
    of_view = asked(trained, "get", "habits", f"customer={customer}")
    assert [s["feature"] for s in of_view] == ["habits__mean_amount", "habits__returns"]
    assert of_view[0]["value"] == served["value"]
    [missing, _] = asked(trained, "get", "buying", "customer=nobody")
    assert (missing["value"], missing["event_time"]) == (None, None)
    shown = CliRunner().invoke(
        cli, ["features", "get", "buying", "customer=nobody", "--project", str(trained)]
    )
    assert "missing" in shown.output


def test_functions_are_computed_for_a_request_that_is_given(trained: Path) -> None:
    found = asked(trained, "get", "buying", "customer=c1", "amount=20", "items=8")
    assert [s["feature"] for s in found] == ["habits__mean_amount", "amount", "price"]
    assert [(s["value"], s["function"]) for s in found[1:]] == [(20.0, "basket"), (2.5, "basket")]
    assert [s["value"] for s in asked(trained, "get", "basket", "amount=1", "items=0")] == [1, None]
    assert asked(trained, "get", "basket")[0]["needs"] == ["amount", "items"]
    wrong = ["features", "get", "basket", "amount=much", "items=1", "--project", str(trained)]
    done = CliRunner().invoke(cli, wrong)
    assert isinstance(done.exception, DataError)
    assert "request column 'amount' holds 'much'" in str(done.exception)


ROW = (1_767_222_000_000_000, (0.5,))  # 2025-12-31T23:00Z, in microseconds


@pytest.mark.parametrize(
    ("policy", "row", "found"),
    [
        ({}, ROW, {"rate": 0.5}),
        ({}, None, {}),
        ({"ttl": "1m"}, ROW, {}),
        ({"ttl": "1m", "on_stale": "last"}, ROW, {"rate": 0.5}),
        ({"ttl": "1m", "on_stale": "last"}, None, {}),
        ({"on_missing": "default", "defaults": {"rate": 0.1}}, None, {"rate": 0.1}),
        ({"on_missing": "error"}, None, None),
    ],
)
def test_a_function_gets_of_a_view_what_a_request_would_get(
    policy: dict[str, Any], row: Any, found: Any
) -> None:
    view = ow.feature_view(entity="customer", **policy)(habits.function)
    plan = ViewPlan(name="habits", version=1, table="t", entity=("customer",), columns=("rate",))
    assert _by_policy(view, plan, row, datetime(2026, 1, 1, tzinfo=UTC)) == found


READING = """

@ow.on_demand(features=[habits])
def usual(amount, at, first, note, habits__mean_amount):
    return {"usual": amount / habits__mean_amount, "hour": at.dt.hour, "first": first, "note": note}


asking = ow.feature_service("asking", [usual], tags=["new"])


pipeline"""


def test_a_function_that_only_a_service_declares_is_shown_and_computed(trained: Path) -> None:
    file = trained / "pipeline.py"
    before = file.read_text()
    file.write_text(before.replace("\n\npipeline", READING))
    request = ["amount=30", "at=2026-01-05T07:00:00Z", "first=true", "note=a b"]
    try:
        listed = asked(trained, "list")
        service = asked(trained, "show", "asking")
        shown = CliRunner().invoke(cli, ["features", "show", "asking", "--project", str(trained)])
        found = asked(trained, "get", "asking", "customer=nobody", *request)
        [usual] = asked(trained, "get", "asking", "customer=nobody")
        beside = asked(trained, "get", "asking", "customer=c1", *request)[0]["value"]
        mean = asked(trained, "get", "habits", "customer=c1")[0]["value"]
    finally:
        file.write_text(before)
    [one] = [feature for feature in listed if feature["name"] == "usual"]
    assert one["used_by"] == ["service asking"]
    assert service["features"] == ["usual"]
    assert "tags         new" in shown.output
    assert {s["feature"]: s["value"] for s in found} == {
        "usual": None, "hour": 7.0, "first": 1.0, "note": "a b",
    }  # fmt: skip
    assert beside == pytest.approx(30 / mean)
    assert usual["needs"] == ["amount", "at", "first", "note"]


def test_wrong_questions_are_answered(trained: Path) -> None:
    with open_project(trained) as project:
        with pytest.raises(NotFoundError, match="no feature service 'bying'") as caught:
            online(project, "bying", {"customer": "c1"})
        assert "did you mean 'buying'" in caught.value.expected
        with pytest.raises(NotFoundError, match="no feature service 'baskt'") as caught:
            online(project, "baskt", {})
        assert "did you mean 'basket'" in caught.value.expected
        with pytest.raises(DataError, match="'customer' is missing"):
            online(project, "buying", {"costumer": "c1"})


def test_a_view_of_a_service_is_published_though_no_model_reads_it(
    tmp_path: Path, shops: Callable[[Path], Path]
) -> None:
    folder = shops(tmp_path / "shop")
    file = folder / "pipeline.py"
    more = """

@ow.feature_view(entity="customer")
def amounts(sold):
    return sold.select("customer", "amount", event_time=_.ordered_at, available_at=_.recorded_at)


money = ow.feature_service("money", [habits[["returns"]], amounts])


pipeline"""
    file.write_text(file.read_text().replace("\n\npipeline", more))
    found = load_definition(file)
    assert [view.name for view in found.views] == ["habits", "amounts"]
    assert {view.selected for view in found.views} == {None}
    assert [view.name for view in found.services["money"].views] == ["habits", "amounts"]


@ow.feature_view(entity="customer")
def habits(orders):
    return orders


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: ow.feature_service("s", []), "has no features"),
        (lambda: ow.feature_service("s", [lambda: 1]), "no feature of feature service 's'"),
        (lambda: ow.feature_service("S s", [habits]), "cannot name a feature service"),
        (lambda: habits[[]], "names no features"),
        (lambda: habits[[1]], "names no features"),
    ],
)
def test_a_wrong_declaration_is_refused(declare: Callable[[], Any], said: str) -> None:
    with pytest.raises(DeclarationError, match=said) as caught:
        declare()
    assert caught.value.location.file == __file__


def test_a_part_is_the_same_view() -> None:
    part = habits[["mean_amount"]]
    assert part.digest == habits.digest
    assert part != habits
    assert habits["mean_amount"] == part


def test_a_feature_that_a_view_does_not_have_is_named(trained: Path, tmp_path: Path) -> None:
    file = trained / "pipeline.py"
    before = file.read_text()
    file.write_text(before.replace('habits[["mean_amount"]]', 'habits[["mean_amout"]]'))
    try:
        with open_project(trained) as project, pytest.raises(DataError) as caught:
            project.run(force=True)
    finally:
        file.write_text(before)
    assert "no feature of view 'habits' 'mean_amout'" in caught.value.what
    assert "did you mean 'mean_amount'" in caught.value.expected
