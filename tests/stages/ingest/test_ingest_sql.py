"""Ingest from SQLite: types that are a value's own, and errors that name what is wrong."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import onward as ow
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest import cursor
from onward.stages.ingest.adapters.sql import SqlReader
from onward.stages.ingest.cursor import Position
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit


def reader(folder: Path) -> SqlReader:
    return SqlReader(Surroundings(folder=folder))


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, at TEXT, price REAL, note TEXT)")
        yield connection


def source(
    table: str = "orders", column: str = "id", url: str = "sqlite:///shop.db", key: str = "id"
) -> ow.Source:
    return ow.Source("orders", ow.sql(url, table, cursor=column), key=key, event_time="at")


def add(shop: sqlite3.Connection, *rows: tuple[Any, ...]) -> None:
    shop.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)


def take(lake: IcebergLake, folder: Path, run: str, src: ow.Source) -> list[dict[str, Any]]:
    batch = ingest(src, reader=reader(folder), lake=lake, run=run)
    assert batch is not None
    with lake.open({"batch": batch}) as connection:
        rows = connection.table("batch").to_pyarrow().to_pylist()
    assert audit(batch, (), lake=lake, clock=SystemClock()).published
    return sorted(rows, key=lambda r: r["id"])


def test_rows_past_the_cursor(lake: IcebergLake, shop: sqlite3.Connection, tmp_path: Path) -> None:
    src = source()
    assert not pending(src, reader=reader(tmp_path), lake=lake)
    assert ingest(src, reader=reader(tmp_path), lake=lake, run="r0") is None
    add(shop, (1, "2024-01-01 10:00:00", 1, None), (2, "2024-01-01", 2, None))
    add(shop, (3, "2024-01-02", 2.5, "007"))
    assert pending(src, reader=reader(tmp_path), lake=lake)
    rows = take(lake, tmp_path, "r1", src)
    assert rows[0] == {
        "id": 1,
        "at": datetime(2024, 1, 1, 10, tzinfo=UTC),
        "price": 1.0,
        "note": None,
    }
    assert (rows[2]["price"], rows[2]["note"]) == (2.5, "007")
    assert not pending(src, reader=reader(tmp_path), lake=lake)
    add(shop, (4, "2024-01-03", "free", None), (5, "2024-01-03", 3, 12))
    assert pending(src, reader=reader(tmp_path), lake=lake)
    rows = take(lake, tmp_path, "r2", src)
    assert [(r["id"], r["price"], r["note"], r["_unreadable"]) for r in rows] == [
        (4, None, None, "price=free"),
        (5, 3.0, "12", None),
    ]
    assert lake.dataset("raw.orders").rows == 4


def test_a_query_with_a_time_as_cursor(
    lake: IcebergLake, shop: sqlite3.Connection, tmp_path: Path
) -> None:
    src = source("SELECT id, at FROM orders WHERE price > 1;", "at")
    add(shop, (1, "2024-01-01", 2, None), (2, "2024-01-02", 0, None), (3, "2024-01-03", 2, None))
    assert [r["id"] for r in take(lake, tmp_path, "r1", src)] == [1, 3]
    add(shop, (4, "2024-01-02", 2, None), (5, "2024-01-04", 2, None))
    assert [r["id"] for r in take(lake, tmp_path, "r2", src)] == [5]


@pytest.mark.parametrize(
    ("src", "error", "message"),
    [
        (source("order"), DeclarationError, "did you mean 'orders'"),
        (source(key="idd"), DeclarationError, "did you mean 'id'"),
        (source(column="idd"), DeclarationError, "did you mean 'id'"),
        (source("SELECT nosuch FROM orders"), DataError, "no such column"),
        (source(url="sqlite:///shap.db"), DataError, "there is no database"),
        (source(url="nonsense"), DeclarationError, "cannot read from 'nonsense'"),
        (source(url="cobol:///x"), DeclarationError, "cannot read from 'cobol'"),
        (source(url="sqlite://"), DeclarationError, "names no file"),
    ],
)
def test_what_is_wrong_is_named(
    lake: IcebergLake,
    shop: sqlite3.Connection,
    tmp_path: Path,
    src: ow.Source,
    error: type[Exception],
    message: str,
) -> None:
    add(shop, (1, "2024-01-01", 2, None))
    with pytest.raises(error, match=message) as no:
        pending(src, reader=reader(tmp_path), lake=lake)
    assert no.value.location is not None  # type: ignore[attr-defined]


def test_a_database_that_is_written_ahead_is_read_beside_its_writer(
    lake: IcebergLake, shop: sqlite3.Connection, tmp_path: Path
) -> None:
    shop.execute("PRAGMA journal_mode = WAL")
    add(shop, (1, "2024-01-01", 2, None))
    shop.execute("BEGIN IMMEDIATE")
    add(shop, (2, "2024-01-01", 2, None))
    assert [r["id"] for r in take(lake, tmp_path, "r1", source())] == [1]
    shop.execute("COMMIT")
    shop.close()
    assert [r["id"] for r in take(lake, tmp_path, "r2", source())] == [2]


def test_a_cursor_needs_an_order(
    lake: IcebergLake, shop: sqlite3.Connection, tmp_path: Path
) -> None:
    add(shop, (1, "2024-01-01", 2, b"x"))
    with pytest.raises(DeclarationError, match="'note' of orders cannot be a cursor"):
        ingest(
            source(column="note"),
            reader=reader(tmp_path),
            lake=lake,
            run="r1",
        )


def test_a_column_of_mixed_values_becomes_text_without_loss(
    lake: IcebergLake, shop: sqlite3.Connection, tmp_path: Path
) -> None:
    shop.execute("CREATE TABLE things (id INTEGER, at TEXT, x, y, z)")
    values = [
        (1, "2024-01-01", 0.1 + 0.2, 2**53 + 1, None),
        (2, "2024-01-01", "x", 0.5, None),
        (3, "2024-01-01", b"\xff", None, None),
    ]
    shop.executemany("INSERT INTO things VALUES (?, ?, ?, ?, ?)", values)
    rows = take(lake, tmp_path, "r1", source("things"))
    assert [r["x"] for r in rows] == ["0.30000000000000004", "x", "FF"]
    assert [r["y"] for r in rows] == [float(2**53), 0.5, None]
    assert lake.schema("raw.orders").field("z").type == "string"


def test_a_cursor_that_changes_its_type_is_refused(
    lake: IcebergLake, shop: sqlite3.Connection, tmp_path: Path
) -> None:
    add(shop, (1, "2024-01-01", 2, None))
    take(lake, tmp_path, "r1", source(column="price"))
    add(shop, (2, "2024-01-01", "dear", None))
    with pytest.raises(DataError, match="holds str now, and held float before"):
        pending(source(column="price"), reader=reader(tmp_path), lake=lake)


def test_other_columns_are_refused(
    lake: IcebergLake, shop: sqlite3.Connection, tmp_path: Path
) -> None:
    add(shop, (1, "2024-01-01", 2, None))
    take(lake, tmp_path, "r1", source())
    shop.execute("ALTER TABLE orders ADD COLUMN extra")
    shop.execute("INSERT INTO orders VALUES (2, '2024-01-01', 1, NULL, NULL)")
    with pytest.raises(DataError, match=r"\+ extra"):
        ingest(source(), reader=reader(tmp_path), lake=lake, run="r2")


@pytest.mark.parametrize(
    "value",
    [7, 1.5, "x", Decimal("1.10"), datetime(2024, 1, 1, tzinfo=UTC), date(2024, 1, 1)],
)
def test_a_position_survives_being_written(value: Any) -> None:
    position = Position(value=value, lag="0:10:00", rows=3)
    found = cursor.position(cursor.of_position(position))
    assert found == position
    assert found is not None
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("value", "lag", "expected"),
    [
        (7, 3, 4),
        (7, 0, 7),
        (Decimal("1.10"), 0.1, Decimal("1.00")),
        (datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1), datetime(2023, 12, 31, tzinfo=UTC)),
        (date(2024, 1, 1), timedelta(days=1), date(2023, 12, 31)),
        ("2024-01-01", timedelta(days=1), "2023-12-31"),
        ("2024-01-01 00:00:05.5Z", timedelta(seconds=6), "2023-12-31 23:59:59"),
        ("2024-01-01T00:00:05+00:00", timedelta(seconds=5), "2024-01-01T00:00:00"),
    ],
)
def test_what_lies_before(value: Any, lag: Any, expected: Any) -> None:
    assert cursor.earlier(value, lag) == expected


@pytest.mark.parametrize(
    ("value", "lag"), [(7, timedelta(1)), (date(2024, 1, 1), 3), ("x", timedelta(1)), ("x", 1)]
)
def test_what_no_lag_lies_before(value: Any, lag: Any) -> None:
    with pytest.raises(TypeError):
        cursor.earlier(value, lag)
