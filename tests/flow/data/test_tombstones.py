"""A subject that was erased does not come back with what its sources deliver later."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onward.app.erase import erase_subject, readmit
from onward.app.ingest import ingest_once
from onward.app.project import Project, open_project
from onward.app.secrets import rotate
from onward.core.errors import NotFoundError, OnwardError
from onward.core.records import TOMBSTONE
from onward.flow.data.tombstones import BEGUN, of_source, standing
from onward.flow.happened import happened

WHO = "c7"
LATER = datetime(2026, 3, 1, tzinfo=UTC)
SQL = """ow.sql("sqlite:///shop.db", "orders", cursor="recorded_at", lag="100000d")"""


@pytest.fixture
def shop(tmp_path: Path, shops: Callable[[Path], Path]) -> Path:
    folder = shops(tmp_path / "shop")
    change(folder, "\n    checks=[", '\n    subject="customer",\n    checks=[')
    return folder


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "pipeline.py").read_text()
    assert old in text
    (folder / "pipeline.py").write_text(text.replace(old, new, 1))


def of(project: Project, who: str, table: str = "raw.orders") -> int:
    if project.site.lake.schema(table) is None:
        return 0
    return project.site.lake.read(table)["customer"].to_pylist().count(who)


def left_out(project: Project) -> int:
    told = project.ledger.events(kind="batch.ingested", newest_first=True, limit=1)
    found: int = told[0].event.facts["left_out"]
    return found


def test_later_rows_of_an_erased_subject_are_left_out_until_readmitted(
    shop: Path, orders: Callable[..., Path]
) -> None:
    with open_project(shop) as project:
        ingest_once(project)
        assert of(project, WHO) > 0
        assert left_out(project) == 0
        erase_subject(project, WHO)
        file = orders(shop, "second", start=LATER, seed=3, bad=50)
        came = file.read_text().count(f",{WHO},")
        assert came > 0
        [taken] = ingest_once(project)
        assert taken is not None
        assert taken.rows == 400 - came
        assert left_out(project) == came
        assert of(project, WHO) == of(project, WHO, "quarantine.raw_orders") == 0
        facts = json.dumps([e.event.facts for e in project.ledger.events()])
        assert f'"{WHO}"' not in facts

        assert readmit(project, WHO) == ("customer",)
        orders(shop, "third", start=LATER, seed=4)
        ingest_once(project)
        assert of(project, WHO) > 0
        with pytest.raises(NotFoundError, match="nobody of that name"):
            readmit(project, WHO)


def test_a_table_that_shows_the_row_within_its_lag_does_not_bring_it_back(shop: Path) -> None:
    change(shop, 'ow.files("data/orders/*.csv")', SQL)
    with closing(sqlite3.connect(shop / "shop.db", isolation_level=None)) as database:
        columns = "order_id, ordered_at, recorded_at, customer, amount, items, returned"
        database.execute(f"CREATE TABLE orders ({columns})")
        at = LATER.isoformat()
        rows = [(f"o{i}", at, at, f"c{i % 10}", 10.0, 1, 0) for i in range(100)]
        database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        with open_project(shop) as project:
            ingest_once(project)
            assert of(project, WHO) == 10
            erase_subject(project, WHO)
            ingest_once(project)
            assert of(project, WHO) == 0
            assert ingest_once(project) == [None]
            database.executemany(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(f"later{i}", at, at, f"c{i % 10}", 10.0, 1, 0) for i in range(50)],
            )
            ingest_once(project)
            assert of(project, WHO) == 0
            assert of(project, "c8") == 15


@pytest.mark.parametrize("by", ["the raw value", "its pseudonym"])
def test_a_masked_subject_is_known_again(shop: Path, orders: Callable[..., Path], by: str) -> None:
    change(shop, "\n    checks=[", '\n    masked={"customer": ow.pseudonym()},\n    checks=[')
    with open_project(shop) as project:
        ingest_once(project)
        mask = project.definition.sources["orders"].masked["customer"]
        pseudonym = str(project.site.masks.value(mask, WHO))
        assert of(project, pseudonym) > 0
        erase_subject(project, WHO if by == "the raw value" else pseudonym)
        orders(shop, "second", start=LATER, seed=3)
        ingest_once(project)
        assert of(project, pseudonym) == 0
        assert left_out(project) > 0


def test_a_batch_of_erased_rows_alone_moves_the_cursor_and_is_not_held(
    shop: Path, orders: Callable[..., Path]
) -> None:
    with open_project(shop) as project:
        ingest_once(project)
        erase_subject(project, WHO)
        file = orders(shop, "second", start=LATER, seed=3)
        lines = file.read_text().splitlines()
        mine = [line for line in lines[1:] if f",{WHO}," in line]
        file.write_text("\n".join([lines[0], *mine]) + "\n")
        before = project.site.lake.dataset("raw.orders").rows
        assert ingest_once(project) == [None]
        assert project.site.lake.dataset("raw.orders").rows == before
        assert ingest_once(project) == [None]


def test_an_erasure_that_found_nobody_keeps_nobody_out(shop: Path) -> None:
    with open_project(shop) as project:
        ingest_once(project)
        erase_subject(project, "c4711")
        assert standing(project.ledger) == set()
        hashed = str(project.site.masks.value(TOMBSTONE, "c8"))
        happened(project.site, BEGUN, hashed, key="cut short", columns=("customer",), by="ada")
        assert standing(project.ledger) == {("customer", hashed)}
        erase_subject(project, "c8")
        erase_subject(project, "c8")  # of whom nothing is left
        assert standing(project.ledger) == {("customer", hashed)}


def test_a_renamed_column_keeps_them_out_too(shop: Path) -> None:
    with open_project(shop) as project:
        ingest_once(project)
        erase_subject(project, WHO)
        [hashed] = of_source(project.ledger, project.definition.sources["orders"])["customer"]
    change(shop, '\n    subject="customer"', '\n    renamed={"buyer": "customer"}')
    with open_project(shop) as project:
        found = of_source(project.ledger, project.definition.sources["orders"])
        assert found["buyer"] == {hashed}


def test_the_key_by_which_they_are_known_stays(shop: Path) -> None:
    with open_project(shop) as project:
        ingest_once(project)
        erase_subject(project, WHO)
        with pytest.raises(OnwardError, match="erased subjects are known again by it"):
            rotate(project, "tokens")
        readmit(project, WHO)
        assert rotate(project, "tokens")
