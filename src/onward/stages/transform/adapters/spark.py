"""Ibis on Spark, over the lake's Iceberg tables as they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core import fingerprint
from onward.core.errors import DataError, DeclarationError
from onward.core.ports import Lake
from onward.core.records import DatasetRef
from onward.stages.transform.arrow import stored_rows
from onward.stages.transform.config import Transform
from onward.stages.transform.derive import ROWS_AT_A_TIME, call, require_table

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

_CONF: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.ui.enabled": "false",
}


class SparkEngine:
    """Runs transforms in one Spark session, which starts with the first of them.

    `conf` adds to the session's configuration: Iceberg's runtime (``spark.jars.packages``), a
    cluster's address. `iceberg` is the class of Iceberg's catalog. Results go through Parquet files
    in `scratch`; it and the lake's files must be seen by every worker.
    """

    def __init__(
        self, *, master: str, iceberg: str, conf: Mapping[str, str], lake: Lake, scratch: Path
    ) -> None:
        self._master = master
        # A name of its own: a session, of which a process has one, sets a catalog up once.
        self._catalog = f"onward_{fingerprint.of_text(scratch)}"
        catalog = f"spark.sql.catalog.{self._catalog}"
        self._conf = {
            **_CONF,
            catalog: iceberg,
            f"{catalog}.type": "hadoop",
            f"{catalog}.warehouse": str(scratch / "tables"),
            f"{catalog}.cache-enabled": "false",
            **conf,
        }
        self._lake = lake
        self._scratch = scratch

    @contextmanager
    def rows(
        self, transform: Transform, inputs: Mapping[str, DatasetRef]
    ) -> Iterator[pa.RecordBatchReader]:
        import pyarrow.dataset as ds

        session = self._session(transform)
        shutil.rmtree(self._scratch, ignore_errors=True)
        try:
            with _blamed(transform):
                for name, data in inputs.items():
                    self._show(session, name, data)
            result = self._scratch / "result"
            table = _expression(transform, session)
            with _blamed(transform):
                session.sql(table.compile()).write.parquet(str(result))
            found = ds.dataset(result, format="parquet")
            yield stored_rows(transform, found.scanner(batch_size=ROWS_AT_A_TIME).to_reader())
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _session(self, transform: Transform) -> Any:
        try:
            from pyspark.sql import SparkSession
        except ImportError:
            raise DeclarationError(
                f"transform {transform.name!r} runs on Spark, and pyspark is not installed",
                expected="pyspark, and a Java that it runs on",
                next_step="pip install 'onward[spark]'",
                location=transform.location,
            ) from None
        builder = SparkSession.builder.appName("onward").master(self._master)
        for name, value in self._conf.items():
            builder = builder.config(name, value)
        return builder.getOrCreate()

    def _show(self, session: Any, name: str, data: DatasetRef) -> None:
        """Show a snapshot under a name: Spark's catalog of folders finds a copy of the metadata."""
        there = self._scratch / "tables" / "inputs" / name / "metadata"
        there.mkdir(parents=True)
        (there / "v1.metadata.json").write_text(self._lake.metadata(data.table))
        (there / "version-hint.text").write_text("1")
        snapshot = f"{self._catalog}.inputs.`{name}` VERSION AS OF {data.snapshot}"
        session.sql(f"SELECT * FROM {snapshot}").createOrReplaceTempView(name)  # noqa: S608 (names)


def _expression(transform: Transform, session: Any) -> ir.Table:
    import ibis

    backend = ibis.pyspark.connect(session)
    tables = {name: backend.table(name) for name in transform.inputs}
    columns = {name: table.columns for name, table in tables.items()}
    return require_table(transform, call(transform, tables, columns))


@contextmanager
def _blamed(transform: Transform) -> Iterator[None]:
    """Turn what Spark says, when it says no, into one sentence."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "no message")
        raise DataError(
            f"Spark cannot run transform {transform.name!r}: {first}",
            expected="a query that gives a value, or NULL, for whatever comes",
            next_step="for a class that is not found, name Iceberg's runtime: [spark] packages",
            location=transform.location,
        ) from error
