"""Erasing a customer from a whole project, through crashes, and proving that nothing is left."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from onward.app.erase import _elsewhere, erase_subject
from onward.app.gateway.calling import calling
from onward.app.project import Project, open_project
from onward.app.score import score
from onward.core.errors import DeclarationError, NotFoundError
from onward.core.ports import Erased
from onward.core.records import ErasureReport
from onward.flow.happened import fact
from onward.flow.release.observe import bring_in
from onward.flow.run.runs import new_data
from onward.infra.search.files import files_with
from onward.stages.serve.log.reader import find, read

WHO = "customer-0031"  # 31 of 40: has orders, and one of the ten that are quarantined


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    """A shop with a model, predictions in the log, folded ones, and quarantined rows."""
    folder = shops(tmp_path_factory.mktemp("erase") / "shop")
    pipeline = folder / "pipeline.py"
    text = pipeline.read_text().replace(
        "\n    checks=[", '\n    subject="customer",\n    checks=[', 1
    )
    pipeline.write_text(text)
    orders = folder / "data" / "orders" / "first.csv"
    lines = re.sub(r",c(\d+)", lambda m: f",customer-{m[1]:0>4}", orders.read_text()).split("\n")
    lines[1] = re.sub(r"customer-\d+", WHO, lines[1])  # a bad one
    orders.write_text("\n".join(lines))
    with open_project(folder) as project:
        outcome = project.run()
        assert outcome is not None
        assert outcome.state == "promoted"
        others = [{**row, "customer": "customer-0001"} for row in project.sample(2)]
        mine = [{**row, "customer": WHO} for row in project.sample(3)]
        golden = next((folder / ".onward" / "trained").glob("*/golden.json")).read_text()
        assert "customer-" not in golden
        assert "somebody 0" in golden
        project.predict([*others, *mine])
        bring_in(project.site)
        project.predict([mine[0], others[0]])
    return folder


@pytest.fixture
def shop(sold: Path, tmp_path: Path) -> Iterator[Project]:
    """The shop in its own place: state has absolute paths in it."""
    kept = tmp_path / "kept"
    shutil.copytree(sold, kept)
    with open_project(sold) as project:
        yield project
    shutil.rmtree(sold)
    kept.rename(sold)


def holding(project: Project) -> set[str]:
    state = project.settings.state
    return {path.relative_to(state).parts[0] for path in files_with([WHO], state)}


def rows_of(project: Project, table: str) -> int:
    return project.site.lake.read(table).num_rows


def test_an_erased_customer_is_nowhere_and_the_loop_goes_on(shop: Project) -> None:
    before = {table: rows_of(shop, table) for table in shop.site.lake.tables()}
    predictions, _ = read(shop.site.folders.predictions)
    assert {"lake", "training", "predictions", "online.db"} <= holding(shop)
    report = erase_subject(shop, WHO)
    gone = {part.place: part.rows for part in report.removed}
    places = list(gone)  # what is found through the tables goes before them
    assert places[3] == "serving.predictions"
    assert set(places[:3]) == {"prediction log", "training sets", "online store"}
    after = {table: rows_of(shop, table) for table in shop.site.lake.tables()}
    assert {t: before[t] - n for t, n in after.items()} == {t: gone[t] for t in after}
    assert gone["quarantine.raw_orders"] == 1
    assert gone["raw.orders"] > 1
    assert gone["serving.predictions"] >= 3
    assert gone["prediction log"] >= 4
    assert gone["online store"] == 1
    assert report.complete, report.residues  # no example of a model names anybody
    assert holding(shop) == set()
    logged, _ = read(shop.site.folders.predictions)
    assert [p.id for p in logged] == [p.id for p in predictions]
    kept = [p for p in predictions if p.request["customer"] != WHO and p.unit not in units(shop)]
    for one in kept:
        assert find(shop.site.folders.predictions, one.id) == one
    assert new_data(shop.site, shop.definition) == []  # the cursor is as it was
    outcome = shop.run(force=True)
    assert outcome is not None
    assert outcome.state in ("promoted", "released", "unchanged", "rejected")
    assert holding(shop) == set()


def units(project: Project) -> set[str]:
    """The customer's orders, as the source has them."""
    lines = (project.settings.folder / "data" / "orders" / "first.csv").read_text().split("\n")
    return {line.split(",")[0] for line in lines if WHO in line}


def test_scores_of_a_customers_orders_go_too(shop: Project) -> None:
    """A score has the order's key, and not the customer; it goes while the orders tell whose."""
    score(shop, "orders")
    table = shop.site.lake.read("scores.orders")
    mine = units(shop) & set(table["order_id"].to_pylist())
    assert mine
    assert "customer" not in table.column_names
    report = erase_subject(shop, WHO)
    gone = {part.place: part.rows for part in report.removed}
    assert gone["scores.orders"] == len(mine)
    assert list(gone).index("scores.orders") < list(gone).index("raw.orders")
    left = set(shop.site.lake.read("scores.orders")["order_id"].to_pylist())
    assert left == set(table["order_id"].to_pylist()) - mine
    assert report.complete, report.residues


def test_what_was_predicted_about_a_customers_orders_goes_too(shop: Project) -> None:
    order = min(units(shop) - {"first-0"})
    row = {**shop.sample(1)[0], "order_id": order, "customer": "customer-0001"}
    with calling(shop.settings, shop.definition.model) as caller:
        [mine, other] = caller.predict([row, {**row, "order_id": "o-else"}])["predictions"]
        caller.tell([{"prediction": each["id"], "value": 1} for each in (mine, other)])
        bring_in(shop.site)
        caller.tell([{"prediction": mine["id"], "value": 0}])
    report = erase_subject(shop, WHO)
    gone = {part.place: part.rows for part in report.removed}
    assert gone["serving.feedback"] == 1
    assert report.complete, report.residues
    assert order not in find(shop.site.folders.predictions, mine["id"]).unit
    bring_in(shop.site)
    feedback = shop.site.lake.read("serving.feedback").to_pylist()
    named = [(each["prediction"], each["name"].strip("~"), each["value"]) for each in feedback]
    assert sorted(named) == sorted([(mine["id"], "", None), (other["id"], "label", 1.0)])


def test_repeating_it_changes_nothing(shop: Project) -> None:
    erase_subject(shop, WHO)
    heads = {table: shop.site.lake.head(table) for table in shop.site.lake.tables()}
    again = erase_subject(shop, WHO)
    assert sum(part.rows for part in again.removed) == 0
    assert {table: shop.site.lake.head(table) for table in shop.site.lake.tables()} == heads


def test_a_dry_run_only_counts(shop: Project) -> None:
    before = {p: p.stat().st_mtime_ns for p in shop.settings.state.rglob("*.parquet")}
    counted = erase_subject(shop, WHO, dry_run=True)
    assert {p: p.stat().st_mtime_ns for p in shop.settings.state.rglob("*.parquet")} == before
    assert shop.ledger.events(kind="subject.erased") == []
    done = erase_subject(shop, WHO)
    assert [(p.place, p.rows) for p in counted.removed] == [(p.place, p.rows) for p in done.removed]


def test_the_ledger_tells_of_it_and_not_of_whom(shop: Project) -> None:
    report = erase_subject(shop, WHO)
    [told] = shop.ledger.events(kind="subject.erased")
    assert fact(told, "report", ErasureReport) == report
    assert WHO not in json.dumps([e.event.facts for e in shop.ledger.events()])
    assert erase_subject(shop, WHO).subject == report.subject
    assert shop.ledger.verify()


ERASE = """
import os, signal, sys
from pathlib import Path
from onward.app.erase import _elsewhere, erase_subject
from onward.app.gateway.calling import calling
from onward.app.project import open_project
left = int(sys.argv[2])
def heard(part):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
with open_project(Path(sys.argv[1])) as project:
    erase_subject(project, sys.argv[3], heard=heard)
"""


@pytest.mark.crash
def test_killed_in_the_middle_it_is_finished_by_the_same_command(shop: Project) -> None:
    folder = str(shop.settings.folder)
    shop.close()
    killed = subprocess.run([sys.executable, "-c", ERASE, folder, "5", WHO], check=False)
    assert killed.returncode == -signal.SIGKILL
    with open_project(Path(folder)) as again:
        assert erase_subject(again, WHO).complete
        assert len(again.ledger.events(kind="erasure.begun")) == 2
        assert len(again.ledger.events(kind="subject.erased")) == 1


def test_stores_elsewhere_are_named_and_their_addresses_are_not_shown(shop: Project) -> None:
    settings = replace(
        shop.settings,
        lake=replace(shop.settings.lake, warehouse="s3://bucket/lake"),
        online=replace(shop.settings.online, store="redis", url="redis://:hunter2@host"),
    )
    assert _elsewhere(cast("Project", SimpleNamespace(settings=settings))) == (
        "s3://bucket/lake",
        "redis",
    )
    assert _elsewhere(shop) == ()


def test_rows_that_come_meanwhile_are_told(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.site.lake, "erase", lambda table, where, **_: Erased(
        table=table, rows=0, snapshot=None, expired=(), branches=(), files=0, in_flight=0
    ))  # fmt: skip
    left = {residue.path: residue.why for residue in erase_subject(shop, WHO).residues}
    assert "rows came while it was erased" in left["raw.orders"]


def test_what_cannot_be_erased_is_refused(shop: Project) -> None:
    with pytest.raises(NotFoundError, match="custumer"):
        erase_subject(shop, WHO, columns=["custumer"])
    with pytest.raises(DeclarationError, match="empty"):
        erase_subject(shop, "")
