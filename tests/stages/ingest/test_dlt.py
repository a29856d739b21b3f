"""Sources and resources of dlt, as they are: what they remember commits with their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pandas as pd
import pyarrow as pa
import pytest

import onward as ow
from onward.app.load import load_definition
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest.adapters.dlt import DltReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit

ROWS: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def rows() -> Iterator[list[dict[str, Any]]]:
    ROWS[:] = [{"id": n, "at": f"2024-01-0{1 + n // 2}"} for n in range(4)]
    yield ROWS
    ROWS.clear()


@dlt.resource(primary_key="id")
def orders(at: Any = dlt.sources.incremental("at")) -> Iterator[Any]:  # noqa: B008
    yield [row for row in ROWS if at.last_value is None or row["at"] >= at.last_value]


@dlt.source
def shop() -> Any:
    return orders, dlt.resource([{"id": 1}], name="customers")


class Place:
    def __init__(self, folder: Path) -> None:
        self.lake: IcebergLake = open_lake(folder / "lake")
        self.reader = DltReader(Surroundings(folder=folder))
        self._runs = 0

    def source(self, of: Any, **options: Any) -> ow.Source:
        return ow.Source("orders", ow.dlt(of, **options), key="id", event_time="at")

    def take(self, source: ow.Source) -> int | None:
        self._runs += 1
        batch = ingest(source, reader=self.reader, lake=self.lake, run=f"r{self._runs}")
        if batch is None:
            return None
        audit(batch, (), lake=self.lake, clock=SystemClock(), required=("id", "at"))
        return batch.rows

    def pending(self, source: ow.Source) -> bool:
        return pending(source, reader=self.reader, lake=self.lake)

    def table(self) -> list[dict[str, Any]]:
        return sorted(self.lake.read("raw.orders").to_pylist(), key=lambda row: row["id"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("of", "options"),
    [
        (orders, {}),
        (shop, {"resource": "orders"}),
        (shop(), {"resource": "orders"}),
        (lambda: orders, {}),
        (shop().with_resources("orders"), {}),
    ],
    ids=["resource", "source function", "source", "function", "selected"],
)
def test_it_goes_on_where_the_last_published_pass_ended(
    place: Place, of: Any, options: dict[str, Any]
) -> None:
    source = place.source(of, every="1ms", **options)
    assert place.pending(source)
    assert ingest(source, reader=place.reader, lake=place.lake, run="lost") is not None
    assert place.take(source) == 4
    assert not place.pending(source)
    assert place.take(source) is None
    ROWS.append({"id": 4, "at": "2024-01-02"})  # beside the last one: not of those seen
    ROWS.append({"id": 5, "at": "2024-01-03"})
    assert place.pending(source)
    assert place.take(source) == 2
    assert [row["id"] for row in place.table()] == list(range(6))
    # Another process knows it from the table alone.
    place.reader = DltReader(Surroundings(folder=Path()))
    assert place.take(source) is None


def test_what_a_resource_remembers_by_itself_counts(place: Place) -> None:
    @dlt.resource
    def numbered() -> Iterator[Any]:
        state = dlt.current.resource_state()
        for number in range(state.get("next", 0), len(ROWS)):
            yield ROWS[number]
            state["next"] = number + 1

    source = place.source(numbered)
    assert place.take(source) == 4
    ROWS.append({"id": 9, "at": "2023-01-01"})
    assert place.take(source) == 1
    assert place.take(source) is None


def test_a_replacing_resource_makes_the_table(place: Place) -> None:
    source = place.source(dlt.resource(lambda: ROWS, name="all", write_disposition="replace"))
    assert place.take(source) == 4
    assert place.take(source) is None
    ROWS[:] = [{"id": 7, "at": "2024-02-01"}]
    assert place.take(source) == 1
    assert [row["id"] for row in place.table()] == [7]


def test_a_merging_resource_puts_rows_in_the_place_of_those_with_their_key(place: Place) -> None:
    def changed(at: Any = dlt.sources.incremental("at")) -> Iterator[Any]:  # noqa: B008
        yield ROWS

    resource = dlt.resource(changed, write_disposition="merge", primary_key="id")
    source = place.source(resource)
    assert place.take(source) == 4
    ROWS[:] = [{"id": 1, "at": "2024-03-01"}]
    assert place.take(source) == 1
    assert [row["at"].month for row in place.table()] == [1, 3, 1, 1]


def test_values_become_columns_as_elsewhere(place: Place) -> None:
    ROWS[:] = [
        {
            "id": 1, "at": datetime(2024, 1, 1, 12, tzinfo=UTC), "day": date(2024, 1, 1),
            "price": Decimal("1.25"), "nested": {"a": [1, {"b": None}]}, "none": None,
        }
    ]  # fmt: skip
    place.take(place.source(dlt.resource(lambda: ROWS, name="r")))
    [row] = place.table()
    assert row["at"] == datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert (row["day"], row["price"]) == (date(2024, 1, 1), 1.25)
    assert row["nested"] == '{"a":[1,{"b":null}]}'
    assert row["none"] is None


@pytest.mark.parametrize(
    "form", [pa.table, pd.DataFrame, lambda data: pa.table(data).to_batches()[0]],
    ids=["table", "pandas", "batch"],
)  # fmt: skip
def test_columns_stay_columns(place: Place, form: Callable[[Any], Any]) -> None:
    at = [date(2024, 1, 1)] * 2

    @dlt.resource
    def parts() -> Iterator[Any]:
        yield form({"id": [1, 2], "at": at})
        yield form({"id": [3, 4], "at": at})

    source = place.source(parts)
    assert place.take(source) == 4
    assert place.take(source) is None
    assert [row["id"] for row in place.table()] == [1, 2, 3, 4]


def test_a_resource_that_fails_says_why_and_loses_nothing(place: Place) -> None:
    @dlt.resource
    def breaking(at: Any = dlt.sources.incremental("at")) -> Iterator[Any]:  # noqa: B008
        yield ROWS
        if len(ROWS) == 5:
            raise RuntimeError("the server hung up")

    source = place.source(breaking)
    assert place.take(source) == 4
    ROWS.append({"id": 8, "at": "2024-05-01"})
    with pytest.raises(DataError, match="the server hung up"):
        place.take(source)
    ROWS.append({"id": 9, "at": "2024-06-01"})
    assert place.take(source) == 2


@pytest.mark.parametrize(
    ("of", "options", "says"),
    [
        (shop, {}, "has several resources"),
        (shop, {"resource": "order"}, "no resource of shop 'order'"),
        ([1, 2], {}, r"reads \[1, 2\]"),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_stands(
    place: Place, of: Any, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(DeclarationError, match=says) as refused:
        place.take(place.source(of, **options))
    assert refused.value.location is not None


def test_a_pipeline_has_one_digest_in_every_process(tmp_path: Path) -> None:
    assert (
        repr(ow.dlt(orders))
        == repr(ow.dlt(orders))
        == ("Dlt(name='orders', resource=None, every=datetime.timedelta(seconds=60))")
    )
    assert callable(load_definition)
