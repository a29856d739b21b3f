"""Ingest from PostgreSQL: what each of its types becomes, and what is refused without secrets."""

import json
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pytest

import onward as ow
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError, OnwardError
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest.adapters.database import open_database
from onward.stages.ingest.adapters.sql import SqlReader
from onward.stages.ingest.origins import SqlTable
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit
from services.postgres import Cluster


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


def reader(folder: Path, **variables: str) -> SqlReader:
    def fill(text: str) -> str:
        for name, value in variables.items():
            text = text.replace("${" + name + "}", value)
        return text

    return SqlReader(Surroundings(folder=folder, fill=fill))


def source(url: str, table: str = "things", column: str = "id", **changes: Any) -> ow.Source:
    return ow.Source(
        "things", ow.sql(url, table, cursor=column, **changes), key="id", event_time="at"
    )


def take(lake: IcebergLake, folder: Path, src: ow.Source, run: str = "r1") -> list[dict[str, Any]]:
    batch = ingest(src, reader=reader(folder), lake=lake, run=run)
    assert batch is not None
    assert audit(batch, (), lake=lake, clock=SystemClock()).published
    return sorted(lake.read(src.table).to_pylist(), key=lambda r: r["id"])


COLUMNS = {  # type: (a value, what it becomes)
    "smallint": ("3", 3),
    "integer": ("4", 4),
    "real": ("1.5", 1.5),
    "numeric(10, 2)": ("4.50", 4.5),
    "money": ("'1.50'", 1.5),
    "text": ("'x'", "x"),
    "char(4)": ("'ab'", "ab"),
    "boolean": ("true", True),
    "timestamp": ("'2024-01-01 10:00'", datetime(2024, 1, 1, 10, tzinfo=UTC)),
    "date": ("'2024-01-01'", date(2024, 1, 1)),
    "time": ("'10:00'", time(10)),
    "interval": ("'1 day'", "1 day"),
    "uuid": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "jsonb": ("""'{"a": [1]}'""", '{"a": [1]}'),
    "bytea": ("'\\x01ff'", b"\x01\xff"),
    "integer[]": ("'{1,2}'", "[1,2]"),
    "mood": ("'glad'", "glad"),
    "cidr": ("'127.0.0.0/8'", "127.0.0.0/8"),
    "point": ("'(1,2)'", "(1,2)"),
    '"char"': ("'c'", "c"),
}


def test_every_type_becomes_one_of_ours(
    lake: IcebergLake, postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    names = [f"c{i}" for i in range(len(COLUMNS))]
    declared = ", ".join(f"{n} {kind}" for n, kind in zip(names, COLUMNS, strict=True))
    values = ", ".join(text for text, _ in COLUMNS.values())
    postgres.execute(
        "CREATE TYPE mood AS ENUM ('glad', 'sad');"
        f"CREATE TABLE things (id bigint, at timestamptz, {declared});"
        f"INSERT INTO things VALUES (1, '2024-01-01 10:00+02', {values});"
        "INSERT INTO things VALUES (2, '2024-01-01')",
        postgres_url,
    )
    first, second = take(lake, tmp_path, source(postgres_url))
    assert [first[n] for n in names] == [value for _, value in COLUMNS.values()]
    assert first["at"] == datetime(2024, 1, 1, 8, tzinfo=UTC)
    assert all(second[n] is None for n in names)
    assert "_unreadable" not in lake.schema("raw.things").names  # type: ignore[union-attr]


def test_infinite_times_are_no_times(
    lake: IcebergLake, postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    postgres.execute(
        "CREATE TABLE things (id int, at timestamptz, until timestamp, day date);"
        "INSERT INTO things VALUES (1, '2024-01-01', 'infinity', '-infinity')",
        postgres_url,
    )
    [row] = take(lake, tmp_path, source(postgres_url))
    assert (row["until"], row["day"]) == (None, None)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("numeric", ["9.5", "10.25", "10.3"]),
        ("double precision", ["9.5", "10.25", "10.3"]),
        ("date", ["2024-01-09", "2024-01-10", "2024-01-11"]),
        ("timestamp", ["2024-01-01 09:00", "2024-01-01 10:00", "2024-01-01 10:00:00.000001"]),
        ("timestamptz", ["2024-01-01 09:00Z", "2024-01-01 12:00+02", "2024-01-01 10:00:01Z"]),
        ("text", ["it's", "it't", "z"]),
    ],
)
def test_whatever_has_an_order_can_be_the_cursor(
    lake: IcebergLake, postgres: Cluster, postgres_url: str, tmp_path: Path, kind: str, values: Any
) -> None:
    postgres.execute(f"CREATE TABLE things (id int, at timestamptz, seen {kind})", postgres_url)
    src = source(postgres_url, column="seen")
    for number, value in enumerate(values):
        quoted = value.replace("'", "''")
        postgres.execute(
            f"INSERT INTO things VALUES ({number}, '2024-01-01', '{quoted}')", postgres_url
        )
        assert pending(src, reader=reader(tmp_path), lake=lake)
        assert len(take(lake, tmp_path, src, f"r{number}")) == number + 1
        assert not pending(src, reader=reader(tmp_path), lake=lake)


def test_schemas_queries_and_odd_names(
    lake: IcebergLake, postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    postgres.execute(
        'CREATE SCHEMA shop; CREATE TABLE shop."Odd ""one" (id int, at timestamptz, "X y" text);'
        """INSERT INTO shop."Odd ""one" VALUES (1, '2024-01-01', 'a')""",
        postgres_url,
    )
    query = """SELECT id, at, "X y" || 'b' AS xy FROM shop."Odd ""one" ;"""
    assert [r["xy"] for r in take(lake, tmp_path, source(postgres_url, query))] == ["ab"]
    postgres.execute("CREATE VIEW shop.plain AS SELECT 2 AS id, now() AS at", postgres_url)
    assert pending(source(postgres_url, "shop.plain"), reader=reader(tmp_path), lake=lake)


@pytest.mark.parametrize(
    ("table", "column", "message"),
    [
        ("thing", "id", "did you mean 'things'"),
        ("public.thing", "id", "did you mean 'things'"),
        ("nowhere.things", "id", "no table 'things'"),
        ("things", "idd", "did you mean 'id'"),
        ("SELECT * FROM things WHERE", "id", "syntax error"),
        ("things", "data", "cannot be a cursor"),
    ],
)
def test_what_is_wrong_is_named(
    lake: IcebergLake,
    postgres: Cluster,
    postgres_url: str,
    tmp_path: Path,
    table: str,
    column: str,
    message: str,
) -> None:
    postgres.execute(
        "CREATE TABLE things (id int, at timestamptz, data interval);"
        "INSERT INTO things VALUES (1, '2024-01-01', '1 day')",
        postgres_url,
    )
    with pytest.raises(OnwardError) as no:
        ingest(source(postgres_url, table, column), reader=reader(tmp_path), lake=lake, run="r1")
    assert message in str(no.value)
    assert no.value.location is not None


def test_a_password_is_nowhere_to_be_seen(
    lake: IcebergLake, postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    secret = "s3cr%25t"  # percent-encoded: the driver says it decoded
    place = postgres_url.partition("@")[2]
    src = source(f"postgresql://postgres:{secret}@{place}")
    assert secret not in repr(src)
    assert src == source(f"postgresql://postgres:other@{place}")
    postgres.execute(
        "CREATE TABLE things (id int, at timestamptz);INSERT INTO things VALUES (1, '2024-01-01')",
        postgres_url,
    )
    assert len(take(lake, tmp_path, src)) == 1
    assert secret not in json.dumps([dict(s.summary) for s in lake.history("raw.things")])
    for wrong in (place.replace("host=", "hast="), "/x?host=/nowhere", "localhost:1/x"):
        with pytest.raises(DataError) as no:
            pending(source(f"postgres://u:{secret}@{wrong}"), reader=reader(tmp_path), lake=lake)
        assert secret not in str(no.value)
        assert "s3cr%t" not in str(no.value)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT id, at, email::int FROM things", "invalid input syntax for type integer: …"),
        ("SELECT id, at, refuse(email) AS e FROM things", "Key (email)=(…) is refused"),
        ("SELECT id, at, (id || '0000000000')::int FROM things", "value … is out of range"),
    ],
)
def test_an_error_quotes_no_value(
    lake: IcebergLake,
    postgres: Cluster,
    postgres_url: str,
    tmp_path: Path,
    query: str,
    said: str,
) -> None:
    postgres.execute(
        "CREATE TABLE things (id int, at timestamptz, email text);"
        "INSERT INTO things VALUES (7654321, '2024-01-01', 'ada@example.org');"
        "CREATE FUNCTION refuse(email text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'Key (email)=(%) is refused', email USING DETAIL = email; END $$",
        postgres_url,
    )
    with pytest.raises(DataError) as no:
        ingest(source(postgres_url, query), reader=reader(tmp_path), lake=lake, run="r1")
    assert "ada@example.org" not in str(no.value)
    assert "76543210000000000" not in str(no.value)
    assert said in str(no.value)


def test_a_placeholder_is_filled_in_for_the_driver_alone(
    lake: IcebergLake, postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    postgres.execute("CREATE TABLE things (id int, at timestamptz)", postgres_url)
    place = postgres_url.partition("@")[2]
    src = source(f"postgresql://postgres:${{PASSWORD}}@{place}")
    filled = reader(tmp_path, PASSWORD="hush")
    assert not pending(src, reader=filled, lake=lake)
    assert "hush" not in repr(src)
    broken = source("postgresql://postgres:${PASSWORD}@localhost:1/x?nonsense=1")
    with pytest.raises(DataError) as no:
        pending(broken, reader=filled, lake=lake)
    assert "hush" not in str(no.value)


def test_a_missing_driver_is_named(
    lake: IcebergLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "adbc_driver_postgresql", None)
    with pytest.raises(DeclarationError, match="needs the driver adbc_driver_postgresql") as no:
        pending(source("postgresql:///x"), reader=reader(tmp_path), lake=lake)
    assert no.value.next_step == "pip install 'onward[postgres]'"


def test_a_large_table_is_read_in_parts(
    postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    postgres.execute(
        "CREATE TABLE things AS SELECT i AS id, now() AS at, repeat('x', 400) || i AS wide "
        "FROM generate_series(1, 100000) AS i",
        postgres_url,
    )
    src = source(postgres_url)
    assert isinstance(src.origin, SqlTable)
    with (
        open_database(src, src.origin, Surroundings(folder=tmp_path)) as database,
        database.rows("true") as rows,
    ):
        sizes = [(batch.num_rows, batch.nbytes) for batch in rows]
    assert sum(rows for rows, _ in sizes) == 100_000
    assert max(size for _, size in sizes) < 20_000_000
