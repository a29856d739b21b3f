"""`onward secrets` and `onward erase`, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from onward.app.leases import Lease
from onward.app.project import open_project
from onward.core.errors import BusyError, NotFoundError, OnwardError
from onward.flow.run.runs import request
from onward.surfaces.cli.commands import cli


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    """A shop with its data, where it was made: state has absolute paths in it."""
    folder = shops(tmp_path_factory.mktemp("protect") / "shop")
    with open_project(folder) as project, project.alone():
        project.deliver(request(project.site, "new data", "data", train=False))
    return folder


def invoke(folder: Path, *words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(
        cli, [*words, "--project", str(folder)], input=given, catch_exceptions=False
    )


def test_secrets_are_kept_listed_and_shown_where_asked(tmp_path: Path) -> None:
    (tmp_path / "onward.toml").write_text("")
    assert "no secrets" in invoke(tmp_path, "secrets", "list").output
    kept = invoke(tmp_path, "secrets", "set", "shop-db", given="hunter2\n")
    assert "${secret:shop-db}" in kept.output
    assert "hunter2" not in kept.output
    [entry] = json.loads(invoke(tmp_path, "secrets", "list", "--json").output)
    assert entry["name"] == "shop-db"
    assert "shop-db" in invoke(tmp_path, "secrets", "list").output
    assert invoke(tmp_path, "secrets", "show", "shop-db").output == "hunter2\n"
    with pytest.raises(NotFoundError, match="shop-bd") as refused:
        invoke(tmp_path, "secrets", "show", "shop-bd")
    assert "shop-db" in str(refused.value)
    with pytest.raises(OnwardError, match="empty"):
        invoke(tmp_path, "secrets", "set", "other", given="")


def test_a_ring_is_rotated_and_the_ledger_knows(tmp_path: Path) -> None:
    (tmp_path / "onward.toml").write_text("")
    (tmp_path / "pipeline.py").write_text("")
    first = json.loads(invoke(tmp_path, "secrets", "rotate", "--json").output)
    assert first["ring"] == "reveal"
    assert "is used from now on" in invoke(tmp_path, "secrets", "rotate", "tokens").output
    with open_project(tmp_path) as project:
        told = project.ledger.events(kind="key.rotated")
    assert [e.event.subject for e in told] == ["mask-reveal", "mask-tokens"]
    with pytest.raises(NotFoundError, match="did you mean 'reveal'"):
        invoke(tmp_path, "secrets", "rotate", "reveil")


def test_the_ring_of_pseudonyms_stays_while_a_table_has_them(stock: Path) -> None:
    with open_project(stock) as project:
        lake = project.site.lake
        rows = lake.read("raw.orders")
        lake.append("raw.people", rows, key="k", state={"masks": '{"x": "hash(x) by key 1"}'})
    with pytest.raises(OnwardError, match=r"raw\.people would match nothing new"):
        invoke(stock, "secrets", "rotate", "tokens")


def test_erase_counts_then_erases_and_shows_what_is_left(stock: Path) -> None:
    with open_project(stock) as project:
        orders = project.site.lake.read("raw.orders")
    who = orders["customer"][0].as_py()
    asked = ("erase", "--subject", "-", "--column", "customer")
    counted = invoke(stock, *asked, "--dry-run", given=f"{who}\n")
    assert "raw.orders" in counted.output
    assert "nothing was changed" in counted.output
    done = invoke(stock, *asked, given=f"{who}\n")
    assert "too short to search files for" in done.output
    assert done.exit_code == 1
    report = json.loads(invoke(stock, *asked, "--json", given="customer-unknown\n").output)
    assert report["residues"] == []
    assert report["files_searched"] > 10
    whole = invoke(stock, *asked, given="customer-unknown\n")
    assert whole.exit_code == 0
    assert "nothing of it is left; it was nowhere" in whole.output
    with open_project(stock) as project:
        assert who not in project.site.lake.read("raw.orders")["customer"].to_pylist()
    let_in = json.loads(invoke(stock, *asked, "--readmit", "--json", given=f"{who}\n").output)
    assert let_in == {"readmitted": ["customer"]}
    with pytest.raises(NotFoundError, match="nobody of that name in customer was erased"):
        invoke(stock, *asked, "--readmit", given=f"{who}\n")


def test_erase_says_what_it_could_not_rewrite(stock: Path) -> None:
    (stock / ".onward" / "trained").mkdir(exist_ok=True)
    (stock / ".onward" / "trained" / "golden.json").write_text('{"customer": "c-4711-x"}')
    left = invoke(stock, "erase", "--subject", "c-4711-x", "--column", "customer")
    assert left.exit_code == 1
    assert "trained/golden.json" in left.output
    assert "onward run --force" in left.output


def test_the_column_must_be_known(stock: Path) -> None:
    with pytest.raises(OnwardError, match="--column NAME, such as customer, or subject="):
        invoke(stock, "erase", "--subject", "c1")


def test_nothing_is_erased_while_a_source_is_taken_in(stock: Path) -> None:
    lease = Lease(stock / ".onward" / "leases", "orders")
    with lease.held(), pytest.raises(BusyError, match="takes in 'orders'"):
        invoke(stock, "erase", "--subject", "customer-x", "--column", "customer")
