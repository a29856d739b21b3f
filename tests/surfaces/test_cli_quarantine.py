"""`onward quarantine`: what waits, a file to mend, and the way back into the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from taking_in import take_in
from typer.testing import CliRunner, Result

from onward.app.data import data_status
from onward.app.project import open_project
from onward.core.errors import OnwardError
from onward.flow.data.quarantine import settled, tell_replays
from onward.flow.run.loop import turn
from onward.flow.run.runs import request
from onward.infra.lake.iceberg import IcebergLake
from onward.surfaces.cli.commands import cli


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def asked(folder: Path, *words: str) -> str:
    done = invoke("quarantine", *words, "--project", str(folder))
    assert done.exit_code == 0, done.output
    return done.output


def told(folder: Path, *words: str) -> Any:
    return json.loads(asked(folder, *words, "--json"))


def refused(folder: Path, *words: str) -> OnwardError:
    done = invoke("quarantine", *words, "--project", str(folder))
    assert isinstance(done.exception, OnwardError), done.output
    return done.exception


@pytest.mark.parametrize("command", ["show", "export", "replay"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    assert f"Example: onward quarantine {command}" in invoke("quarantine", command, "--help").output


def test_without_a_command_it_lists_counts(stocked: Path) -> None:
    assert "orders: 10 rows wait\n  amount is positive: 10" in asked(stocked)
    [entry] = told(stocked)
    assert (entry["dataset"], entry["waiting"], entry["newest"]) == ("orders", 10, [])


def test_show_filters(stocked: Path) -> None:
    [entry] = told(stocked, "show", "orders", "--where", "order_id = 'first-3'")
    assert (entry["waiting"], entry["rules"]) == (1, {"amount is positive": 1})
    [row] = entry["newest"]
    shown = asked(stocked, "show", "--id", row["_quarantine_id"], "--since", "1d")
    assert "order_id=first-3" in shown
    assert "← amount is positive" in shown
    assert "nothing is in quarantine" in asked(stocked, "show", "sold")
    assert "did you mean 'orders'" in str(refused(stocked, "show", "order"))
    assert "did you mean 'released'" in str(refused(stocked, "show", "--state", "relesed"))
    wrong = refused(stocked, "show", "--rule", "amount is postive")
    assert "did you mean 'amount is positive'" in str(wrong)


def test_export_mend_replay_and_trace(own_stock: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    assert f"replay orders --with {file}" in asked(own_stock, "export", "orders", str(file))
    lines = file.read_text().splitlines()
    assert len(lines) == 11
    file.write_text("\n".join([lines[0], *(line.replace("-1.0", "12.5") for line in lines[1:4])]))
    [report] = told(own_stock, "replay", "orders", "--with", str(file))
    assert (report["rows"], report["released"], report["mended"]) == (3, 3, 3)
    again = asked(own_stock, "replay", "orders", "--with", str(file))
    assert "3 rows released before stay so" in again
    shown = asked(own_stock, "show", "orders", "--state", "released")
    assert f"→ {report['run']}, amount mended" in shown
    assert "orders: 7 rows wait, 3 released" in asked(own_stock)

    with open_project(own_stock) as project:
        traced = project.lineage(f"snapshot:raw.orders@{report['published']['snapshot']}")
        refs = {node.ref: node for node in traced.graph.nodes}
        assert refs[traced.ref].made_by == "quarantine.replayed"
        held = f"snapshot:quarantine.raw_orders@{report['read']['snapshot']}"
        assert refs[held].made_by == "batch.audited"
        assert f"snapshot:raw.orders@{report['base']}" in refs
        [data] = [d for d in project.status().datasets if d.name == "raw.orders"]
        assert (data.rows, data.quarantined) == (393, 7)


def test_a_mended_rule_releases_and_the_loop_takes_the_rows_up(own_stock: Path) -> None:
    pipeline = own_stock / "pipeline.py"
    pipeline.write_text(pipeline.read_text().replace("_.amount > 0", "_.amount > -2"))
    assert "10 released, 0 stay" in asked(own_stock, "replay")
    assert "10 rows judged again" not in asked(own_stock, "replay")
    with open_project(own_stock) as project:
        reasons = []

        def deliver(wish: Any) -> Any:
            reasons.append(wish.reason)
            return project.deliver(wish)

        turn(project.site, project.definition, deliver)
        turn(project.site, project.definition, deliver)
        assert reasons == ["rows of raw.orders were released from quarantine"]
        assert project.site.lake.dataset("derived.sold").rows == 400


def test_a_replay_that_was_killed_is_told_by_the_next_run(
    own_stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = own_stock / "pipeline.py"
    pipeline.write_text(pipeline.read_text().replace("_.amount > 0", "_.amount > -2"))
    with monkeypatch.context() as patched:
        patched.setattr(IcebergLake, "append", lambda *_, **__: 1 / 0)
        assert isinstance(
            invoke("quarantine", "replay", "--project", str(own_stock)).exception, ZeroDivisionError
        )
    with open_project(own_stock) as project:
        assert project.ledger.events(kind="quarantine.replayed") == []
        settled(project.site, "raw.orders")
        tell_replays(project.site, "raw.orders")
        [told_of] = project.ledger.events(kind="quarantine.replayed")
        assert told_of.event.facts["report"]["released"] == 10
        assert project.deliver(request(project.site, "again", train=False)).state == "refreshed"
        assert project.site.lake.dataset("raw.orders").rows == 400


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("replay", "sold"), 2, "'sold' is derived"),
        (("replay", "ordres"), 2, "did you mean 'orders'"),
        (("export", "sold", "a.csv"), 2, "nothing of 'sold' is in quarantine"),
        (("export", "orders", "a.xlsx"), 2, "is not known"),
        (("replay", "--with", "none.csv"), 3, "is no file of mended rows"),
        (("replay", "--where", "amout > 1"), 2, "is no condition"),
    ],
)
def test_a_mistake_ends_in_its_message(
    stocked: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    error = refused(stocked, *words)
    assert error.exit_code == code
    assert said in str(error)


def test_a_table_that_is_built_afresh_leaves_what_earlier_builds_quarantined(
    own_stock: Path, orders: Any
) -> None:
    pipeline = own_stock / "pipeline.py"
    judged = '@ow.transform(checks=[ow.check("is cheap", _.amount < 30)])\ndef sold'
    pipeline.write_text(pipeline.read_text().replace("@ow.transform\ndef sold", judged))
    for name in ("second", "third"):
        orders(own_stock, name, rows=100, seed=5)
        take_in(own_stock)
        with open_project(own_stock) as project:
            amounts = project.site.lake.read("raw.orders")["amount"].to_pylist()
            held = project.site.lake.dataset("quarantine.derived_sold").rows
            [sold] = data_status(project, "sold").tables
            [stands] = [d for d in project.status().datasets if d.name == "derived.sold"]
        dear = sum(amount >= 30 for amount in amounts)
        [entry] = told(own_stock, "show", "sold", "--limit", "1000")
        assert (entry["waiting"], len(entry["newest"]), sold.waiting) == (dear, dear, dear)
        assert stands.quarantined == dear
    assert held > dear
    [earlier] = told(own_stock, "show", "sold", "--run", first_run(own_stock))
    assert 0 < earlier["waiting"] < dear


def first_run(folder: Path) -> str:
    with open_project(folder) as project:
        runs = project.site.lake.read("quarantine.derived_sold")["_run"].to_pylist()
    return min(runs)
