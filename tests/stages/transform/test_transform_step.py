"""Transform: what a SQL file reads, the order, rebuilding, and errors at their line."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.errors import DataError, DeclarationError
from onward.core.records import DatasetRef
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.transform.step import build, order, resolve
from onward.stages.validate.step import audit

CLOCK = ReplayClock(datetime(2024, 5, 1, tzinfo=UTC))


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


@pytest.fixture
def inputs(lake: IcebergLake) -> dict[str, DatasetRef]:
    add(lake, "k1", [1, 2, 3])
    return {"orders": lake.dataset("raw.orders")}


def add(lake: IcebergLake, key: str, ids: list[int]) -> None:
    at = pa.array([datetime(2024, 1, 1, 10, 30, tzinfo=UTC)] * len(ids), pa.timestamp("us", "UTC"))
    lake.append("raw.orders", pa.table({"id": ids, "at": at, "name": ["a"] * len(ids)}), key=key)


def sql(folder: Path, text: str, name: str = "doubled") -> Any:
    (folder / "query.sql").write_text(text)
    return ow.sql_transform(name, "query.sql")


def publish(transform: Any, lake: IcebergLake, inputs: Any, folder: Path, run: str) -> pa.Table:
    batch = build(transform, lake=lake, inputs=inputs, folder=folder, run=run)
    assert batch is not None
    assert (batch.mode, batch.inputs) == ("replace", tuple(inputs[n].ref for n in transform.inputs))
    report = audit(batch, transform.checks, lake=lake, clock=CLOCK)
    assert report.rows_in == batch.rows
    return lake.read(transform.table)


@ow.transform
def doubled(orders):
    return orders.select(
        "at",
        id=_.id.cast("int8") * 2,
        part=_.id.cast("float32") / 2,
        hour=_.at.cast("timestamp").truncate("h"),
        uid=ibis.uuid(),
        nothing=ibis.null(),
    )


def test_a_function_becomes_a_table_in_types_that_are_stored(
    lake: IcebergLake, inputs: dict[str, DatasetRef], tmp_path: Path
) -> None:
    found = publish(doubled, lake, inputs, tmp_path, "r1")
    utc = pa.timestamp("us", "UTC")
    assert found.schema.types == [
        utc, pa.int64(), pa.float64(), utc, pa.string(), pa.string(),
    ]  # fmt: skip
    assert sorted(found["id"].to_pylist()) == [2, 4, 6]
    assert found["hour"][0].as_py() == datetime(2024, 1, 1, 10, tzinfo=UTC)


def test_built_again_only_when_something_changed(
    lake: IcebergLake, inputs: dict[str, DatasetRef], tmp_path: Path
) -> None:
    one = sql(tmp_path, "select id * 2 as id from orders;")
    one = resolve(one, folder=tmp_path, known=["orders"])
    assert publish(one, lake, inputs, tmp_path, "r1").num_rows == 3
    assert build(one, lake=lake, inputs=inputs, folder=tmp_path, run="r2") is None
    sql(tmp_path, "-- a comment\nselect id * 2 as id\nfrom orders\n; -- and another")
    assert build(one, lake=lake, inputs=inputs, folder=tmp_path, run="r2") is None
    add(lake, "k2", [4])
    newer = {"orders": lake.dataset("raw.orders")}
    assert publish(one, lake, newer, tmp_path, "r3").num_rows == 4
    sql(tmp_path, "select id * 3 as id from orders")
    assert sorted(publish(one, lake, newer, tmp_path, "r4")["id"].to_pylist()) == [3, 6, 9, 12]


def test_a_changed_check_counts_as_code(
    lake: IcebergLake, inputs: dict[str, DatasetRef], tmp_path: Path
) -> None:
    def kept(check: Any) -> Any:
        @ow.transform(checks=[check])
        def kept(orders):
            return orders

        return kept

    first = kept(ow.check("c", _.id > 0))
    publish(first, lake, inputs, tmp_path, "r1")
    assert build(first, lake=lake, inputs=inputs, folder=tmp_path, run="r2") is None
    again = kept(ow.check("c", _.id > 0))
    assert build(again, lake=lake, inputs=inputs, folder=tmp_path, run="r2") is None
    stricter = kept(ow.check("c", _.id > 2))
    assert publish(stricter, lake, inputs, tmp_path, "r3").num_rows == 1
    assert lake.dataset("quarantine.derived_kept").rows == 2


def test_the_tables_a_query_reads(tmp_path: Path) -> None:
    transform = sql(
        tmp_path,
        """
        with recent as (select * from orders o where at > '2024-01-01'),
             counted as (select name, count(*) as n from recent group by name)
        select * from counted join people using (name)
        where name in (select name from vips) and n < (select max(n) from counted)
        union all
        select * from generate_series(1, 3)
        """,
    )
    known = ["orders", "people", "vips", "unused"]
    assert set(resolve(transform, folder=tmp_path, known=known).inputs) == {
        "orders",
        "people",
        "vips",
    }


def test_references_stand_for_names(
    lake: IcebergLake, inputs: dict[str, DatasetRef], tmp_path: Path
) -> None:
    text = "select id * 2 as id\nfrom {{ ref('orders') }} join {{ref( \"orders\" )}} b using (id)"
    one = resolve(sql(tmp_path, text), folder=tmp_path, known=["orders"])
    assert one.inputs == ("orders",)
    assert sorted(publish(one, lake, inputs, tmp_path, "r1")["id"].to_pylist()) == [2, 4, 6]
    sql(
        tmp_path,
        "select id * 2 as id from {{ source('shop',\n'orders') }} join orders b using (id)",
    )
    assert resolve(one, folder=tmp_path, known=["orders"]).inputs == ("orders",)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("select *\nfrom {{ ref('ordrs') }}", "no dataset 'ordrs'.*did you mean 'orders'", 2),
        ("select\n{{ var('x') }}", r"holds a template: \{\{ var.*ow\.dbt", 2),
        ("{% if true %}\nselect 1", "holds a template", 1),
        ("select *\nfrom ordrs", "no dataset 'ordrs'.*did you mean 'orders'", 2),
        ("select *\n\nfrom raw.orders", r"no dataset 'raw\.orders'", 3),
        ("select * from doubled", "no dataset 'doubled'", 1),
        ("select 1; select 2", "the file holds SELECT, SELECT", 1),
        ("drop table orders", "the file holds DROP", 1),
        ("-- nothing\n", "the file holds nothing", 1),
        ("select *\nfrom orders where (", "this is no SQL", 2),
        ("select 'unclosed", "this is no SQL", 1),
        ("select * from\nread_csv('secret.csv')", "which no source declares", 2),
    ],
)
def test_a_query_at_fault_is_named_at_its_line(
    tmp_path: Path, text: str, message: str, line: int
) -> None:
    transform = sql(tmp_path, text)
    with pytest.raises(DeclarationError, match=f"(?s){message}") as no:
        resolve(transform, folder=tmp_path, known=["orders", "doubled"])
    assert no.value.location is not None
    assert (Path(no.value.location.file).name, no.value.location.line) == ("query.sql", line)


def test_a_missing_sql_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"nowhere\.sql") as no:
        resolve(ow.sql_transform("t", "nowhere.sql"), folder=tmp_path, known=[])
    assert no.value.location is not None
    assert no.value.location.file == __file__


def test_a_function_reads_what_is_declared(tmp_path: Path) -> None:
    assert resolve(doubled, folder=tmp_path, known=["orders"]) is doubled
    with pytest.raises(DeclarationError, match=r"(?s)no dataset 'orders'.*did you mean 'order'"):
        resolve(doubled, folder=tmp_path, known=["order"])


def declared(name: str, *reads: str) -> Any:
    scope: dict[str, Any] = {}
    exec(f"def {name}({', '.join(reads)}): ...", scope)
    return ow.transform(scope[name])


def test_each_comes_after_what_it_reads() -> None:
    given = [declared("c", "b", "src"), declared("a", "src"), declared("b", "a")]
    assert [t.name for t in order(given, sources=["src"])] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([declared("a", "c"), declared("b", "a"), declared("c", "b")],
         "circle: (a reads c reads b reads a|b reads a reads c reads b|c reads b reads a reads c)"),
        ([declared("a", "b")], "transform 'a': there is no dataset 'b'"),
        ([declared("a", "a")], "transform 'a': there is no dataset 'a'"),
        ([declared("a", "src"), declared("a", "src")], "two datasets have the name 'a'"),
        ([declared("src", "src")], "two datasets have the name 'src'"),
    ],
)  # fmt: skip
def test_an_order_that_cannot_be_is_refused(given: list[Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        order(given, sources=["src"])


@ow.transform
def raising(orders):
    wanted = orders
    return wanted.select("idd")


@ow.transform
def no_table(orders):
    return orders.id


@ow.transform
def interval(orders):
    return orders.select(i=_.at - _.at)


@pytest.mark.parametrize(
    ("transform", "message", "line"),
    [
        (raising, "'raising' raised .*idd.*orders: id, at, name", 2),
        (no_table, "'no_table' returns IntegerColumn", 0),
        (interval, "'i' of transform 'interval' is an interval", 0),
    ],
)
def test_a_function_at_fault_is_named_at_its_line(
    lake: IcebergLake,
    inputs: dict[str, DatasetRef],
    tmp_path: Path,
    transform: Any,
    message: str,
    line: int,
) -> None:
    with pytest.raises(DeclarationError, match=f"(?s){message}") as no:
        build(transform, lake=lake, inputs=inputs, folder=tmp_path, run="r1")
    assert no.value.location is not None
    assert no.value.location.file == __file__
    if line:
        assert no.value.location.line == transform.location.line + line + 1
    assert lake.tables() == ["raw.orders"]


def test_what_fails_on_a_row_publishes_nothing(
    lake: IcebergLake, inputs: dict[str, DatasetRef], tmp_path: Path
) -> None:
    @ow.transform
    def failing(orders):
        return orders.select(n=_.name.cast("int64"))

    with pytest.raises(DataError, match="'failing' fails on its rows: Conversion"):
        build(failing, lake=lake, inputs=inputs, folder=tmp_path, run="r1")
    refused = resolve(sql(tmp_path, "select idd from orders"), folder=tmp_path, known=["orders"])
    with pytest.raises(DeclarationError, match=r'(?s)refused.*"idd" not found'):
        build(refused, lake=lake, inputs=inputs, folder=tmp_path, run="r1")
    assert lake.tables() == ["raw.orders"]
