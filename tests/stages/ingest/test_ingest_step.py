"""Ingest from files: types, columns, the cursor, and what is refused."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import onward as ow
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest import cursor
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.cursor import SeenFile
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit


def files_in(folder: Path) -> FileReader:
    return FileReader(Surroundings(folder=folder))


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


def source(pattern: str = "in/*.csv", **changes: object) -> ow.Source:
    wanted = {"key": ["id"], "event_time": "at"} | changes
    return ow.Source("orders", ow.files(pattern), **wanted)


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def take(lake: IcebergLake, folder: Path, run: str, src: ow.Source | None = None) -> list[dict]:
    """Ingest, look at the batch, publish what can be read of it."""
    src = src or source()
    batch = ingest(src, reader=files_in(folder), lake=lake, run=run)
    assert batch is not None
    with lake.open({"batch": batch}) as connection:
        rows = connection.table("batch").to_pyarrow().to_pylist()
    assert len(rows) == batch.rows
    assert audit(batch, (), lake=lake, clock=SystemClock()).published
    return sorted(rows, key=lambda row: (row["id"] is None, row["id"]))


def test_first_sight_settles_the_types(lake: IcebergLake, tmp_path: Path) -> None:
    put(
        tmp_path,
        "a.csv",
        "id,at,price,zip,flag,day,note,late\n"
        '1,2024-01-01T10:00:00Z,1.5,007,true,2024-01-01,"a, ""b""",2024-01-01 10:00:00+02\n'
        "2,2024-01-01 11:00:00,NA,08,FALSE,2024-01-02,NA,\n",
    )
    rows = take(lake, tmp_path, "r1")
    schema = lake.schema("raw.orders")
    assert schema is not None
    utc = pa.timestamp("us", "UTC")
    assert dict(zip(schema.names, schema.types, strict=True)) == {
        "id": pa.int64(),
        "at": utc,
        "price": pa.float64(),
        "zip": pa.string(),
        "flag": pa.bool_(),
        "day": pa.date32(),
        "note": pa.string(),
        "late": utc,
    }
    assert rows[1]["at"] == datetime(2024, 1, 1, 11, tzinfo=UTC)
    assert rows[0]["late"] == datetime(2024, 1, 1, 8, tzinfo=UTC)
    assert (rows[1]["price"], rows[1]["note"]) == (None, "NA")
    assert (rows[0]["zip"], rows[0]["note"]) == ("007", 'a, "b"')


def test_a_new_batch_keeps_what_cannot_be_read(lake: IcebergLake, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "id,at,price\n1,2024-01-01,1.5\n")
    take(lake, tmp_path, "r1")
    put(tmp_path, "b.csv", "at,price,id\nnever,four,2\n2024-01-02,3,3.0\n2024-01-02,3,3.5\n")
    assert take(lake, tmp_path, "r2") == [
        {"id": 2, "at": None, "price": None, "_unreadable": "at=never; price=four"},
        {"id": 3, "at": datetime(2024, 1, 2, tzinfo=UTC), "price": 3.0, "_unreadable": None},
        {
            "id": None,
            "at": datetime(2024, 1, 2, tzinfo=UTC),
            "price": 3.0,
            "_unreadable": "id=3.5",
        },
    ]


def test_declared_types_win_over_looks(lake: IcebergLake, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "id,at,price\n1,2024-01-01,1\n")
    take(lake, tmp_path, "r1", source(types={"price": "double", "id": "string"}))
    put(tmp_path, "b.csv", "id,at,price\nx,2024-01-01,1.5\n")
    [row] = take(lake, tmp_path, "r2", source(types={"price": "double"}))
    assert (row["id"], row["price"]) == ("x", 1.5)
    put(tmp_path, "c.csv", "id,at,price\nx,2024-01-01,1.5\n")
    with pytest.raises(DeclarationError, match="'id' is declared as int64"):
        ingest(
            source(types={"id": "int64"}),
            reader=files_in(tmp_path),
            lake=lake,
            run="r3",
        )
    with pytest.raises(DeclarationError, match="no column type 'number'"):
        source(types={"id": "number"})


def test_only_new_and_complete_files_are_read(lake: IcebergLake, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "id,at\n1,2024-01-01\n")
    for name in (".b.csv", "_c.csv"):
        put(tmp_path, name, "id,at\n9,2024-01-01\n")
    src = source()
    assert pending(src, reader=files_in(tmp_path), lake=lake)
    assert [row["id"] for row in take(lake, tmp_path, "r1")] == [1]
    assert not pending(src, reader=files_in(tmp_path), lake=lake)
    assert ingest(src, reader=files_in(tmp_path), lake=lake, run="r2") is None
    put(tmp_path, "d.csv", "id,at\n2,2024-01-01\n")
    put(tmp_path, "e.csv", "at,id\n2024-01-01,3\n")
    assert pending(src, reader=files_in(tmp_path), lake=lake)
    assert sorted(row["id"] for row in take(lake, tmp_path, "r3")) == [2, 3]
    assert lake.dataset("raw.orders").rows == 3


@pytest.mark.parametrize("name", ["a.csv.tmp", "a.csv.part"])
def test_unfinished_endings_wait(lake: IcebergLake, tmp_path: Path, name: str) -> None:
    path = put(tmp_path, name, "id,at\n1,2024-01-01\n")
    src = ow.Source("orders", ow.files("in/*", "csv"), key="id", event_time="at")
    assert not pending(src, reader=files_in(tmp_path), lake=lake)
    assert ingest(src, reader=files_in(tmp_path), lake=lake, run="r") is None
    path.rename(path.with_suffix(""))
    assert pending(src, reader=files_in(tmp_path), lake=lake)


def test_a_changed_file_is_refused_a_touched_one_is_not(lake: IcebergLake, tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", "id,at\n1,2024-01-01\n")
    take(lake, tmp_path, "r1")
    path.touch()
    assert not pending(source(), reader=files_in(tmp_path), lake=lake)
    assert ingest(source(), reader=files_in(tmp_path), lake=lake, run="r2") is None
    path.write_text("id,at\n1,2024-01-01\n2,2024-01-02\n")
    assert pending(source(), reader=files_in(tmp_path), lake=lake)
    with pytest.raises(DataError, match=r"in/a\.csv has changed since"):
        ingest(source(), reader=files_in(tmp_path), lake=lake, run="r3")
    assert lake.dataset("raw.orders").rows == 1


def test_a_file_that_grows_while_it_is_read_is_refused(
    lake: IcebergLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "a.csv", "id,at\n1,2024-01-01\n")
    stage = IcebergLake.stage

    def grow(*args: object, **kwargs: object) -> object:
        path.write_text("id,at\n1,2024-01-01\n2,2024-01-01\n")
        return stage(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(IcebergLake, "stage", grow)
    with pytest.raises(DataError, match="changed while it was read"):
        ingest(source(), reader=files_in(tmp_path), lake=lake, run="r1")
    assert lake.history("raw.orders") == []


def test_other_columns_are_refused_with_the_difference(lake: IcebergLake, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "id,at,price\n1,2024-01-01,1\n")
    take(lake, tmp_path, "r1")
    put(tmp_path, "b.csv", "id,at,prise,extra\n1,2024-01-01,1,2\n")
    with pytest.raises(DataError, match=r"- price [^+]*\+ prise: new; was it 'price'\?") as no:
        ingest(source(), reader=files_in(tmp_path), lake=lake, run="r2")
    assert no.value.location is not None
    assert no.value.location.file == __file__
    assert lake.dataset("raw.orders").rows == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,at\n1,2024-01-01\n2\n", "Expected Number of Columns: 2 Found: 1"),
        ("id,at\n1,2024-01-01,3\n", "Expected Number of Columns: 2 Found: 3"),
        ('id,at\n1,"2024', "unterminated quote"),
        ("id,id\n1,2\n", "names each column once"),
        ("id,at\n", "holds no rows"),
        ("", "is empty"),
        ("id,at,_run\n1,2024-01-01,x\n", "a name that Onward uses itself"),
    ],
)
def test_damaged_files_are_refused(
    lake: IcebergLake, tmp_path: Path, text: str, message: str
) -> None:
    put(tmp_path, "a.csv", text)
    with pytest.raises(DataError, match=message):
        ingest(source(), reader=files_in(tmp_path), lake=lake, run="r1")
    assert lake.tables() == []


def test_binary_rubbish_is_refused(lake: IcebergLake, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "").write_bytes(b"id,\xff\xfe\n1,2\n")
    put(tmp_path, "b.parquet", "no parquet")
    put(tmp_path, "c.csv.gz", "no gzip")
    put(tmp_path, "d.jsonl", "{broken")
    for pattern in ("in/*.csv", "in/*.parquet", "in/*.csv.gz", "in/*.jsonl"):
        with pytest.raises(DataError):
            ingest(
                source(pattern),
                reader=files_in(tmp_path),
                lake=lake,
                run="r1",
            )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": ["idd"]}, "did you mean 'id'"),
        ({"event_time": "att"}, "did you mean 'at'"),
        ({"available_at": "name"}, "'name' of source 'orders' holds no times: its type is string"),
        ({"available_at": "id"}, "holds no times: its type is int64"),
        ({"types": {"nme": "string"}}, "did you mean 'name'"),
    ],
)
def test_declared_columns_must_be_there(
    lake: IcebergLake, tmp_path: Path, changes: dict, message: str
) -> None:
    put(tmp_path, "a.csv", "id,at,name\n1,2024-01-01,x\n")
    with pytest.raises(DeclarationError, match=message) as no:
        ingest(source(**changes), reader=files_in(tmp_path), lake=lake, run="r1")
    assert no.value.location is not None


def test_a_time_with_some_bad_text_is_still_a_time(lake: IcebergLake, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "id,at\n1,2024-01-01T00:00:00\n2,soon\n")
    rows = take(lake, tmp_path, "r1")
    assert [r["_unreadable"] for r in rows] == [None, "at=soon"]


def test_gzip_semicolons_and_a_byte_order_mark(lake: IcebergLake, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with gzip.open(tmp_path / "in/a.csv.gz", "wt", encoding="utf-8-sig") as file:
        file.write("id;at;x\r\n1;2024-01-01;a,b\r\n")
    [row] = take(lake, tmp_path, "r1", source("in/*.csv.gz"))
    assert (row["id"], row["x"]) == (1, "a,b")


def test_parquet_widths_are_normalised(lake: IcebergLake, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    at = pa.array([1704067200 * 10**9], pa.timestamp("ns"))
    tables = [
        pa.table({"id": pa.array([1], pa.int16()), "at": at, "x": pa.array([1.5], pa.float32()),
                  "tags": pa.array([["a", "b"]]), "n": pa.array([2], pa.uint64())}),
        pa.table({"n": pa.array([2**63], pa.uint64()), "id": pa.array([2], pa.int8()), "at": at,
                  "x": pa.array([float("nan")]), "tags": pa.array([["c"]])}),
    ]  # fmt: skip
    for i, table in enumerate(tables):
        parquet.write_table(table, tmp_path / f"in/{i}.parquet")
    rows = take(lake, tmp_path, "r1", source("in/*.parquet"))
    assert rows == [
        {"id": 1, "at": datetime(2024, 1, 1, tzinfo=UTC), "x": 1.5, "tags": '["a","b"]', "n": 2,
         "_unreadable": None},
        {"id": 2, "at": datetime(2024, 1, 1, tzinfo=UTC), "x": None, "tags": '["c"]', "n": None,
         "_unreadable": f"n={2**63}"},
    ]  # fmt: skip
    parquet.write_table(
        pa.table({"id": ["3"], "at": ["2024-01-02"], "x": [1], "n": [1], "tags": ["t"]}),
        tmp_path / "in/2.parquet",
    )  # fmt: skip
    rows = take(lake, tmp_path, "r2", source("in/*.parquet"))
    assert [(r["id"], r["x"]) for r in rows] == [(3, 1.0)]


def test_json_lines_with_absent_and_odd_values(lake: IcebergLake, tmp_path: Path) -> None:
    lines = [
        {"id": "007", "at": "2024-01-01T00:00:00Z", "n": 1, "who": {"name": "a"}},
        {"id": "8", "at": "2024-01-01T01:00:00Z"},
    ]
    put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)))
    first, second = take(lake, tmp_path, "r1", source("in/*.jsonl"))
    assert (first["id"], first["n"], json.loads(first["who"])) == ("007", 1, {"name": "a"})
    assert (second["id"], second["n"], second["who"]) == ("8", None, None)
    put(tmp_path, "b.jsonl", json.dumps({"id": 9, "at": "2024-01-01", "n": "many"}))
    [row] = take(lake, tmp_path, "r2", source("in/*.jsonl"))
    assert (row["id"], row["n"], row["_unreadable"]) == ("9", None, "n=many")
    put(tmp_path, "c.jsonl", json.dumps({"id": 9, "at": "2024-01-01", "m": 1}))
    with pytest.raises(DataError, match=r"\+ m"):
        ingest(
            source("in/*.jsonl"),
            reader=files_in(tmp_path),
            lake=lake,
            run="r3",
        )


def test_the_cursor_remembers_a_year_of_files(lake: IcebergLake, tmp_path: Path) -> None:
    for day in range(365):
        put(tmp_path, f"{day:03}.csv", f"id,at\n{day},2024-01-01\n")
    assert len(take(lake, tmp_path, "r1")) == 365
    assert not pending(source(), reader=files_in(tmp_path), lake=lake)


def test_the_list_of_files_is_folded_when_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor, "_RECENT", 3)
    seen = [SeenFile(f"{n}.csv", n, n, str(n)) for n in range(10)]
    state: dict[str, str] = {}
    lists = []
    for file in seen:
        state |= cursor.with_files([file], state)
        found = (json.loads(state.get(name, "[]")) for name in (cursor.FOLDED, cursor.FILES))
        lists.append(tuple(map(len, found)))
    assert lists == [(0, 1), (0, 2), (0, 3), (4, 0), (4, 1), (4, 2), (4, 3), (8, 0), (8, 1), (8, 2)]
    assert list(cursor.seen_files(state).values()) == seen
