"""The same Ibis expression on DuckDB and on Spark over the same Iceberg tables: equal rows.

`make test-spark` runs this in an environment that has Spark 3.5, and a package whose jar holds
Iceberg's runtime for it, under names of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import feature_store_pyspark
import ibis
import pyarrow as pa
import pytest
from ibis import _

import onward as ow
from onward.app.project import open_project
from onward.app.testing.compare import difference
from onward.core.errors import DataError, DeclarationError
from onward.core.records import DatasetRef
from onward.flow.run.runs import request
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.transform.adapters.spark import SparkEngine
from onward.stages.transform.derive import derive

pytestmark = pytest.mark.filterwarnings("default")  # PySpark 3.5 on newer libraries: its own

JAR = next((Path(feature_store_pyspark.__file__).parent / "jars").glob("*-3.5.jar"))
ICEBERG = "smfs.shaded.org.apache.iceberg.spark.SparkCatalog"
LOCAL = {
    "spark.jars": str(JAR),
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
}
START = datetime(2026, 1, 1, tzinfo=UTC)


def orders(first: int, count: int) -> pa.Table:
    ids = range(first, first + count)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "at": pa.array(
                [START + timedelta(hours=7 * i) for i in ids], pa.timestamp("us", "UTC")
            ),
            "customer": [None if i % 7 == 0 else f"c{i % 5}" for i in ids],
            "amount": [None if i % 11 == 0 else i * 1.25 for i in ids],
            "day": pa.array([date(2026, 1, 1 + i % 28) for i in ids]),
            "returned": [i % 3 == 0 for i in ids],
        }
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> IcebergLake:
    """Orders that came in two goes, were changed by key and compacted; and people."""
    lake = open_lake(tmp_path_factory.mktemp("spark") / "lake")
    lake.append("raw.orders", orders(0, 60), key="1")
    lake.append("raw.orders", orders(60, 60), key="2")
    head = lake.head("raw.orders")
    lake.stage("raw.orders", orders(100, 40), branch="b", mode="upsert", summary={}, key=["id"])
    lake.publish("raw.orders", "b", expect=head and head.id)
    lake.compact("raw.orders", every=1)
    people = pa.table({"customer": ["c0", "c1", "c2", "c9"], "country": ["NL", "PL", None, "FR"]})
    lake.append("raw.people", people, key="1")
    return lake


@pytest.fixture(scope="module")
def spark(lake: IcebergLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    yield SparkEngine(
        master="local[1]", iceberg=ICEBERG, conf=LOCAL, lake=lake,
        scratch=tmp_path_factory.mktemp("scratch") / "s",
    )  # fmt: skip
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()


@ow.transform(engine="spark")
def filtered(orders):
    return orders.filter(_.amount > 30, _.customer.notnull())


@ow.transform(engine="spark")
def daily(orders):
    return orders.group_by(day=_.at.date()).aggregate(
        orders=_.count(), amount=_.amount.sum(), largest=_.amount.max(), back=_.returned.sum()
    )


@ow.transform(engine="spark")
def joined(orders, people):
    return orders.left_join(people, "customer").select(
        "id", "country", "at", hour=_.at.hour(), tax=_.amount * 0.21, name=_.country.lower()
    )


@ow.transform(engine="spark")
def running(orders):
    so_far = ibis.cumulative_window(group_by="customer", order_by="id")
    return orders.mutate(so_far=_.amount.sum().over(so_far), rank=ibis.row_number().over(so_far))


@ow.transform(engine="spark")
def cases(orders):
    return orders.select(
        "id",
        size=ibis.cases((_.amount > 100, "large"), (_.amount > 10, "some"), else_="small"),
        known=_.customer.fill_null("nobody"),
        word=_.customer.concat("-", _.id.cast("string")),
    )


def inputs(lake: IcebergLake, transform: Any) -> dict[str, Any]:
    return {name: lake.dataset(f"raw.{name}") for name in transform.inputs}


@pytest.mark.parametrize(
    "transform", [filtered, daily, joined, running, cases], ids=lambda t: t.name
)
def test_both_engines_give_the_same_rows_in_the_same_types(
    lake: IcebergLake, spark: SparkEngine, transform: Any
) -> None:
    read = inputs(lake, transform)
    with lake.open(read) as connection:
        ours = derive(transform, connection, Path()).read_all()
    with spark.rows(transform, read) as rows:
        theirs = rows.read_all()
    assert theirs.schema.equals(ours.schema)
    assert theirs.num_rows > 0
    told = difference(transform.name, ours.to_pylist(), theirs.to_pylist(), ordered=False)
    assert told == ""


def test_a_snapshot_is_read_as_it_was(lake: IcebergLake, spark: SparkEngine) -> None:
    first = lake.history("raw.orders")[0]
    then = {"orders": DatasetRef(table="raw.orders", snapshot=first.id, rows=first.rows)}
    with spark.rows(filtered, then) as rows:
        assert max(rows.read_all()["id"].to_pylist()) == 59


@ow.transform(engine="spark")
def raising(orders):
    return orders.select("idd")


def test_what_fails_is_said_in_a_sentence(lake: IcebergLake, spark: SparkEngine) -> None:
    with (
        pytest.raises(DeclarationError, match=r"'raising' raised .*idd"),
        spark.rows(raising, inputs(lake, raising)),
    ):
        pass
    gone = {"orders": DatasetRef(table="raw.orders", snapshot=1, rows=1)}
    with (
        pytest.raises(DataError, match=r"Spark cannot run transform 'filtered': .*snapshot"),
        spark.rows(filtered, gone),
    ):
        pass


def test_a_pipeline_runs_a_transform_on_spark(
    shop: Path, lake: IcebergLake, spark: SparkEngine
) -> None:
    file = shop / "pipeline.py"
    text = file.read_text().replace("@ow.transform\n", '@ow.transform(engine="spark")\n')
    file.write_text(text)
    with (shop / "onward.toml").open("a") as settings:
        settings.write(f'[spark]\nmaster = "local[1]"\njars = "{JAR}"\niceberg = "{ICEBERG}"\n')
    with open_project(shop) as project:
        done = project.deliver(request(project.site, "data only", train=False))
        assert done.state == "refreshed"
        raw = project.site.lake.dataset("raw.orders")
        assert project.site.lake.dataset("derived.sold").rows == raw.rows
