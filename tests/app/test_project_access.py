"""Access in a project: what is asked for, who is believed, and what the ledger says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onward.app.access import approve, caller, make_token, require, standing
from onward.app.erase import erase_subject, readmit
from onward.app.ingest import ingest_once
from onward.app.project import Project, open_project
from onward.app.quarantine import replay, show
from onward.app.reveal import reveal
from onward.app.tables import find_table
from onward.app.transform import transform
from onward.core.errors import DataError, DeclarationError, DeniedError, NotFoundError
from onward.flow.release.approval import approvals
from onward.flow.run.runs import request
from onward.infra.search.files import files_with
from onward.infra.secrets.environment import EnvironmentSecrets
from onward.surfaces.cli.commands import cli

MASKED = """
    subject="customer",
    masked={"customer": ow.revealable("fraud", domain="person")},
    checks=["""

ROLES = """

access = ow.Access(
    roles={
        "analyst": ow.may(read="derived.*"),
        "fraud": ow.may(read=["raw.*", "quarantine.*"]),
        "lead": ow.may(read="*", run="*", promote="*", erase="customer", approve="*"),
    },
    members={"analyst": "*", "fraud": ["ada"], "lead": ["grace", "hopper"]},
    approvals=["erase"],
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    """A shop with its data in, a column that can be revealed, and roles."""
    made = shops(tmp_path_factory.mktemp("access") / "shop")
    pipeline = made / "pipeline.py"
    pipeline.write_text(pipeline.read_text().replace("\n    checks=[", MASKED, 1) + ROLES)
    with open_project(made) as project, project.alone():
        project.deliver(request(project.site, "new data", "data", train=False))
    return made


@pytest.fixture
def shop(folder: Path) -> Project:
    return open_project(folder)


@pytest.fixture
def ask_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda name: monkeypatch.setenv("ONWARD_USER", name)


def cut_short(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def told(project: Project, kind: str) -> list[dict]:
    return [dict(e.event.facts) for e in project.ledger.events(kind=kind)]


def test_rows_are_shown_to_those_who_may_read_them(
    shop: Project, ask_as: Callable[[str], None]
) -> None:
    ask_as("bob")
    assert find_table(shop, "sold").table == "derived.sold"
    with pytest.raises(DeniedError, match=r"bob, who has the role analyst, may not read raw\.ord"):
        find_table(shop, "orders")
    with pytest.raises(DeniedError):
        show(shop)
    ask_as("ada")
    assert find_table(shop, "orders").rows
    assert show(shop)[0].waiting == 10
    denied = told(shop, "access.denied")
    assert {(d["by"], d["action"], d["target"]) for d in denied} == {
        ("bob", "read", "raw.orders"),
        ("bob", "read", "quarantine.raw_orders"),
    }


def test_rows_are_released_by_those_who_may_run_the_model(
    shop: Project, ask_as: Callable[[str], None]
) -> None:
    ask_as("bob")
    with pytest.raises(DeniedError, match=r"may not read quarantine\.raw_orders"):
        replay(shop, "orders")
    ask_as("ada")
    with pytest.raises(DeniedError, match="may not run"):
        replay(shop)
    ask_as("grace")
    [judged] = replay(shop, "orders")
    assert (judged.by, judged.rows, judged.released) == ("grace", 10, 0)


def test_a_model_is_built_by_those_who_may_read_its_features(
    shop: Project, ask_as: Callable[[str], None]
) -> None:
    ask_as("ada")
    with pytest.raises(DeniedError, match="may not read"):
        shop.run()
    with pytest.raises(DeniedError, match="may not promote"):
        shop.rollback()
    with pytest.raises(DeniedError):
        shop.sample()
    with pytest.raises(DeniedError, match=r"may not run raw\.orders"):
        ingest_once(shop)
    with pytest.raises(DeniedError, match=r"may not run derived\.sold"):
        transform(shop)


def test_a_value_is_revealed_to_its_role_and_the_ledger_says_so(
    shop: Project, ask_as: Callable[[str], None]
) -> None:
    stored = shop.site.lake.read("raw.orders")["customer"].to_pylist()[:3]
    ask_as("bob")
    with pytest.raises(DeniedError, match="may not reveal"):
        reveal(shop, "orders.customer", stored, "curious")
    ask_as("ada")
    with pytest.raises(DataError, match="no reason"):
        reveal(shop, "orders.customer", stored, "")
    found = reveal(shop, "orders.customer", stored, "case 17")
    assert all(name.startswith("c") and name[1:].isdigit() for name in found)
    [event] = told(shop, "column.revealed")
    assert (event["by"], event["role"], event["reason"]) == ("ada", "fraud", "case 17")
    assert len(event["values"]) == 3
    assert not any(value in json.dumps(event) for value in stored)
    with pytest.raises(NotFoundError, match="did you mean"):
        reveal(shop, "orders.custumer", stored, "case 17")
    asked = ["reveal", "orders.customer", *stored, "--reason", "case 18", "--project"]
    said = CliRunner().invoke(cli, [*asked, str(shop.settings.folder)], catch_exceptions=False)
    assert said.output.split() == found


def waited(act: Callable[[], object]) -> str:
    """Return the number of what an act waits for."""
    with pytest.raises(DeniedError, match="approval of a second person") as waits:
        act()
    assert waits.value.next_step is not None
    return waits.value.next_step.split()[-1].strip("`")


def test_an_erasure_waits_for_a_second_person(shop: Project, ask_as: Callable[[str], None]) -> None:
    ask_as("grace")
    assert erase_subject(shop, "customer-none", dry_run=True).dry_run, "it changes nothing"
    asked = waited(lambda: erase_subject(shop, "customer-none"))
    with pytest.raises(DeniedError, match="grace asked for it"):
        approve(shop, asked, "me")
    ask_as("bob")
    with pytest.raises(DeniedError, match="may not approve erase:customer"):
        approve(shop, asked, "why not")
    ask_as("hopper")
    with pytest.raises(NotFoundError):
        approve(shop, "unknown", "x")
    folder = str(shop.settings.folder)
    words = ["approve", asked, "--reason", "as agreed", "--project", folder]
    said = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "grace may erase customer, subject " in said.output
    assert "customer-none" not in said.output
    ask_as("grace")
    assert waited(lambda: erase_subject(shop, "customer-other")) != asked
    erase_subject(shop, "customer-none")
    assert told(shop, "subject.erased")[0]["by"] == "grace"


def test_an_approval_of_an_erasure_is_of_one_subject_and_used_up_by_it(
    shop: Project, ask_as: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_as("grace")
    first = waited(lambda: erase_subject(shop, "customer-once"))
    ask_as("hopper")
    approve(shop, first, "as agreed")
    ask_as("grace")
    with monkeypatch.context() as cut:
        cut.setattr("onward.app.erase.erase", cut_short)
        with pytest.raises(KeyboardInterrupt):
            erase_subject(shop, "customer-once")
    erase_subject(shop, "customer-once")  # what was cut short is finished by the same approval
    again = waited(lambda: erase_subject(shop, "customer-once"))
    back = waited(lambda: readmit(shop, "customer-once"))
    assert len({first, again, back}) == 3, "one approval is of one act"
    standing_of = {one.request: one.state for one in approvals(shop.ledger)}
    assert [standing_of[request] for request in (first, again, back)] == ["used", "waits", "waits"]
    ask_as("hopper")
    with pytest.raises(NotFoundError, match="grace has done what hopper approved"):
        approve(shop, first, "again")
    approve(shop, back, "the subject asked for it")
    ask_as("grace")
    assert readmit(shop, "customer-once") == ("customer",)
    folder = str(shop.settings.folder)
    listed = CliRunner().invoke(cli, ["approve", "--project", folder], catch_exceptions=False)
    assert "used, given" in " ".join(listed.output.split())


def test_an_approval_of_a_reveal_is_of_just_these_values_once(
    shop: Project, ask_as: Callable[[str], None]
) -> None:
    pipeline = shop.settings.folder / "pipeline.py"
    before = pipeline.read_text()
    pipeline.write_text(before.replace('approvals=["erase"]', 'approvals=["reveal"]'))
    try:
        shop.reload()
        stored = shop.site.lake.read("raw.orders")["customer"].unique().to_pylist()[:3]
        ask_as("ada")
        asked = waited(lambda: reveal(shop, "orders.customer", stored[:2], "case 19"))
        one = next(one for one in approvals(shop.ledger) if one.request == asked)
        assert one.about.startswith("orders.customer, 2 values (")
        assert one.reason == "case 19", "who approves it reads why"
        ask_as("hopper")
        approve(shop, asked, "agreed")
        ask_as("ada")
        waited(lambda: reveal(shop, "orders.customer", stored, "case 19"))
        assert len(reveal(shop, "orders.customer", stored[:2], "case 19")) == 2
        assert waited(lambda: reveal(shop, "orders.customer", stored[:2], "case 19")) != asked
    finally:
        pipeline.write_text(before)


def test_a_token_says_who_asks_and_is_kept_as_a_digest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_project(folder) as project:
        old, token = make_token(project, "grace"), make_token(project, "grace")
        assert files_with([old, token], project.settings.state) == {}
        monkeypatch.setenv("ONWARD_USER", "bob")
        monkeypatch.setenv("ONWARD_TOKEN", token)
        assert require(project, "run", "order_return").name == "grace"
        assert standing(project).roles is not None
        said = CliRunner().invoke(
            cli, ["access", "show", "--project", str(folder)], catch_exceptions=False
        )
        assert "known by token" in said.output
        assert "may run *" in said.output
        monkeypatch.setenv("ONWARD_TOKEN", old)
        with pytest.raises(DeniedError, match="nobody's"):
            require(project, "run", "order_return")


def test_without_a_name_the_system_says_who_asks() -> None:
    found = caller(EnvironmentSecrets({}), {})
    assert found.known_by == "system"
    assert caller(EnvironmentSecrets({}), {"ONWARD_USER": "ada"}).known_by == "name"


def test_without_roles_everybody_may(shops: Callable[[Path], Path], tmp_path: Path) -> None:
    with open_project(shops(tmp_path / "shop")) as project:
        assert require(project, "erase", "customer").name
        assert standing(project).roles is None
    words = ["access", "show", "--project", str(tmp_path / "shop")]
    said = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "everybody may do everything" in said.output
    made = CliRunner().invoke(cli, ["access", "token", "ada", *words[2:]], catch_exceptions=False)
    assert len(made.output.strip()) > 40


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (ROLES.replace('"fraud"', '"frauds"'), "did you mean 'frauds'"),
        (ROLES + ROLES.replace("access =", "again ="), "declared twice"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(
    text: str, why: str, shops: Callable[[Path], Path], tmp_path: Path
) -> None:
    pipeline = shops(tmp_path / "shop") / "pipeline.py"
    pipeline.write_text(pipeline.read_text().replace("\n    checks=[", MASKED, 1) + text)
    with open_project(tmp_path / "shop") as project, pytest.raises(DeclarationError, match=why):
        _ = project.definition
