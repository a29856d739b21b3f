"""The schema contract: columns that come, go, widen, are renamed or retyped; refused or evolved."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from ibis import _
from pyarrow import parquet

import onward as ow
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError
from onward.infra.lake.iceberg import open_lake
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.adapters.sql import SqlReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit

FIRST = "id,at,amount,name\n1,2024-01-01,10,a\n2,2024-01-01,20,b\n"


class Shop:
    """A folder of files, and a lake; `take` ingests and audits what is new."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake, self.runs = folder, open_lake(folder / "lake"), 0
        (folder / "in").mkdir()

    def put(self, name: str, content: str | pa.Table | list[dict]) -> None:
        path = self.folder / "in" / name
        if isinstance(content, str):
            path.write_text(content)
        elif isinstance(content, list):
            path.write_text("\n".join(map(json.dumps, content)))
        else:
            parquet.write_table(content, path)

    def take(self, pattern: str = "*.csv", **changes: object):
        origin, reader = ow.files(f"in/{pattern}"), FileReader(Surroundings(folder=self.folder))
        return self.audited(origin, reader, {"key": ["id"]} | changes)

    def take_sql(self, *, cursor: str, **changes: object):
        origin = ow.sql("sqlite:///shop.db", "orders", cursor=cursor)
        return self.audited(origin, SqlReader(Surroundings(folder=self.folder)), changes)

    def audited(self, origin, reader, declared: dict):
        source = ow.Source("orders", origin, **{"event_time": "at"} | declared)
        self.runs += 1
        batch = ingest(source, reader=reader, lake=self.lake, run=f"r{self.runs}")
        assert batch is not None
        required = (*source.key, "at")
        return audit(batch, source.checks, lake=self.lake, clock=SystemClock(), required=required)

    def refused(self, pattern: str = "*.csv", **changes: object) -> str:
        before = (self.lake.head("raw.orders"), self.lake.branches())
        with pytest.raises(DataError) as caught:
            self.take(pattern, **changes)
        assert (self.lake.head("raw.orders"), self.lake.branches()) == before
        assert caught.value.location is not None
        return str(caught.value)

    def rows(self, *columns: str, table: str = "raw.orders") -> list[tuple]:
        found = self.lake.read(table, columns=columns).to_pylist()
        return sorted((tuple(row.values()) for row in found), key=repr)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.put("1.csv", FIRST)
    shop.take()
    return shop


# ---------------------------------------------------------------- refuse


def test_a_breach_is_told_column_by_column_and_changes_nothing(shop: Shop) -> None:
    shop.put("2.csv", "id,at,amuont,extra\n3,2024-01-02,30,x\n")
    told = shop.refused()
    assert "2.csv: other columns than raw.orders has" in told
    assert "- amount (int64): missing" in told
    assert "- name (string): missing" in told
    assert "+ amuont: new; was it 'amount'?" in told
    assert "+ extra: new" in told
    assert "renamed={'amuont': 'amount'}" in told
    assert "on_schema_change='evolve'" in told


def test_first_files_that_differ_are_told_against_the_first_of_them(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put("0.csv", "not,a,table\n1,2,3\n")
    shop.put("1.csv", FIRST)
    told = shop.refused()
    assert "1.csv: other columns than 0.csv has" in told
    assert "- table: missing" in told
    assert "if it is the odd one, take it away" in told


def test_a_type_that_the_origin_states_is_part_of_the_contract(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put("1.parquet", pa.table({"id": [1], "at": ["2024-01-01"], "n": [1], "kept": [1.5]}))
    shop.take("*.parquet")
    shop.put("2.parquet", pa.table({"id": [2], "at": ["2024-01-02"], "n": ["2"], "kept": [2]}))
    shop.take("*.parquet")
    assert shop.rows("id", "n", "kept") == [(1, 1, 1.5), (2, 2, 2.0)]
    shop.put("3.parquet", pa.table({"id": [3], "at": ["2024-01-03"], "n": ["x"], "kept": [1]}))
    assert "~ n: int64 in the table, string here ('x')" in shop.refused("*.parquet")


def test_a_value_in_text_is_a_bad_row_and_no_breach(shop: Shop) -> None:
    shop.put("2.csv", "id,at,amount,name\n3,2024-01-02,much,c\n4,2024-01-02,40,d\n")
    report = shop.take()
    assert (report.rows_published, report.rows_quarantined) == (1, 1)


def test_the_first_files_must_be_alike(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put("1.csv", FIRST)
    shop.put("2.csv", "id,at,amount\n3,2024-01-02,30\n")
    assert "2.csv" in shop.refused()
    shop.take(on_schema_change="evolve")
    assert shop.rows("id", "name") == [(1, "a"), (2, "b"), (3, None)]


# ---------------------------------------------------------------- evolve


def test_columns_come_and_go(shop: Shop) -> None:
    shop.put("2.csv", "id,at,amount,extra\n3,2024-01-02,30,1.5\n")
    old = shop.lake.dataset("raw.orders")
    shop.take(on_schema_change="evolve")
    assert shop.lake.schema("raw.orders").names == ["id", "at", "amount", "name", "extra"]
    assert shop.rows("id", "name", "extra") == [(1, "a", None), (2, "b", None), (3, None, 1.5)]
    said = shop.lake.head("raw.orders").summary["columns"]
    assert said == "- name (string): missing; + extra: new; was it 'name'?"
    assert shop.lake.read("raw.orders", snapshot=old.snapshot).column_names[-1] == "name"
    shop.put("3.csv", FIRST.replace("\n1,", "\n4,").replace("\n2,", "\n5,"))
    shop.take(on_schema_change="evolve")
    assert shop.rows("id", "name")[-2:] == [(4, "a"), (5, "b")]


@pytest.mark.parametrize("gone", ["id", "at", "amount", "name"])
def test_what_is_declared_never_goes(shop: Shop, gone: str) -> None:
    names = [n for n in ("id", "at", "amount", "name") if n != gone]
    shop.put("2.csv", f"{','.join(names)}\n{','.join('3' for _ in names)}\n")
    told = shop.refused(on_schema_change="evolve", subject="name", types={"amount": "int64"})
    assert f"- {gone} (" in told
    assert "evolve" not in told


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_whole_numbers_become_doubles_and_dates_times(tmp_path: Path, kind: str) -> None:
    shop = Shop(tmp_path)
    first = [{"id": 1, "at": "2024-01-01", "n": 10, "day": "2024-01-01"}]
    later = [{"id": 2, "at": "2024-01-02", "n": 2.5, "day": "2024-01-02T03:00:00Z"}]
    for number, rows in enumerate((first, later)):
        if kind == "csv":
            lines = [",".join(rows[0]), ",".join(map(str, rows[0].values()))]
            shop.put(f"{number}.csv", "\n".join(lines))
        elif kind == "jsonl":
            shop.put(f"{number}.jsonl", rows)
        else:
            table = pa.Table.from_pylist(rows)
            kinds = (pa.date32(), pa.timestamp("us", "UTC"))[number]
            moments = [datetime.fromisoformat(r["day"]).replace(tzinfo=UTC) for r in rows]
            day = pa.array(moments, pa.timestamp("us", "UTC")).cast(kinds)
            shop.put(f"{number}.parquet", table.set_column(3, "day", day))
        shop.take(f"*.{kind}", on_schema_change="evolve")
    schema = shop.lake.schema("raw.orders")
    assert [str(schema.field(n).type) for n in ("n", "day")] == ["double", "timestamp[us, tz=UTC]"]
    assert [(n, f"{day:%dT%H}") for n, day in shop.rows("n", "day")] == [
        (10.0, "01T00"), (2.5, "02T03"),
    ]  # fmt: skip


def test_a_type_that_nothing_widens_to_is_refused_all_the_same(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put("1.parquet", pa.table({"id": [1], "at": ["2024-01-01"], "n": [1.5]}))
    shop.take("*.parquet")
    shop.put("2.parquet", pa.table({"id": [2], "at": ["2024-01-02"], "n": [b"x"]}))
    told = shop.refused("*.parquet", on_schema_change="evolve")
    assert "~ n: double in the table, binary here" in told
    shop.put("2.parquet", pa.table({"id": [2], "at": ["2024-01-02"], "n": ["much"]}))
    shop.take("*.parquet", on_schema_change="evolve")
    assert shop.rows("n") == [("1.5",), ("much",)]


def test_a_declared_type_may_be_wider_than_the_published_one(shop: Shop) -> None:
    shop.put("2.csv", "id,at,amount,name\n3,2024-01-02,30,c\n")
    wider = {"amount": "double"}
    with pytest.raises(DeclarationError, match="published with int64"):
        shop.take(types=wider)
    with pytest.raises(DeclarationError, match="or a wider one: double"):
        shop.take(types={"amount": "bool"}, on_schema_change="evolve")
    shop.take(types=wider, on_schema_change="evolve")
    assert shop.rows("amount") == [(10.0,), (20.0,), (30.0,)]


# ---------------------------------------------------------------- rename


def test_a_renamed_column_keeps_its_values_and_may_still_come_under_the_old_name(
    shop: Shop,
) -> None:
    old = shop.lake.dataset("raw.orders")
    shop.put("2.csv", "id,at,amount,title\n3,2024-01-02,30,c\n")
    shop.put("3.csv", "id,at,amount,name\n4,2024-01-02,40,d\n")
    shop.take(renamed={"title": "name"})
    assert shop.rows("id", "title") == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
    assert shop.lake.head("raw.orders").summary["columns"] == "name is called title"
    shop.put("4.csv", "id,at,amount,title\n5,2024-01-03,50,e\n")
    shop.take(renamed={"title": "name"})
    assert "columns" not in shop.lake.head("raw.orders").summary
    with shop.lake.open({"old": old}) as connection:
        assert connection.table("old").columns == ("id", "at", "amount", "name")


def test_the_key_can_be_renamed(shop: Shop) -> None:
    shop.put("2.csv", "order,at,amount,name\n3,2024-01-02,30,c\n")
    shop.take(key=["order"], renamed={"order": "id"})
    assert shop.rows("order") == [(1,), (2,), (3,)]


def test_a_name_that_the_table_never_had_cannot_be_renamed(shop: Shop) -> None:
    shop.put("2.csv", "id,at,amount,title\n3,2024-01-02,30,c\n")
    with pytest.raises(DeclarationError, match="nmae") as caught:
        shop.take(renamed={"title": "nmae"})
    assert "name" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"on_schema_change": "evole"}, "evolve"),
        ({"renamed": {"a": "b", "c": "b"}}, "one another"),
        ({"renamed": {"a": "b", "b": "c"}}, "one another"),
    ],
)
def test_a_mistaken_declaration_is_refused(shop: Shop, changes: dict, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        shop.take(**changes)


# ---------------------------------------------------------------- what follows


def test_the_quarantine_follows(shop: Shop) -> None:
    few = [ow.check("not too much", _.amount < 100)]
    shop.put("2.csv", "id,at,amount,name\n3,2024-01-02,300,c\n")
    shop.take(checks=few)
    shop.put("3.csv", "id,at,amount,title,extra\n4,2024-01-03,400.5,d,x\n5,2024-01-03,5,e,y\n")
    report = shop.take(checks=few, renamed={"title": "name"}, on_schema_change="evolve")
    assert (report.rows_published, report.rows_quarantined) == (1, 1)
    assert shop.rows("id", "amount", "title", "extra")[-1] == (5, 5.0, "e", "y")
    held = shop.rows("id", "amount", "title", "extra", table="quarantine.raw_orders")
    assert held == [(3, 300.0, "c", None), (4, 400.5, "d", "x")]
    columns = shop.lake.schema("quarantine.raw_orders").names
    assert not {"name", "amount__float64"} & set(columns)


def test_a_held_batch_changes_no_column(shop: Shop) -> None:
    shop.put("2.csv", "id,at,amount,title\n3,2024-01-02,1.5,c\n")
    before = shop.lake.schema("raw.orders")
    report = shop.take(
        checks=[ow.batch_check("many", _.count() > 10)],
        renamed={"title": "name"},
        on_schema_change="evolve",
    )
    assert report.held
    assert shop.lake.schema("raw.orders") == before


def test_a_renamed_key_is_still_known_where_rows_are_read_again(tmp_path: Path) -> None:
    """A database's rows that tie with the last one read are read again, and taken once."""
    shop = Shop(tmp_path)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.execute("CREATE TABLE orders (id INTEGER, at TEXT)")
        database.execute("INSERT INTO orders VALUES (1, '2024-01-01')")
        database.commit()
        shop.take_sql(key=["id"], cursor="at")
        database.execute("ALTER TABLE orders RENAME COLUMN id TO number")
        database.execute("INSERT INTO orders VALUES (2, '2024-01-01')")
        database.commit()
        shop.take_sql(key=["number"], cursor="at", renamed={"number": "id"})
    assert shop.rows("number") == [(1,), (2,)]
