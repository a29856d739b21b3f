"""Looking rows up: what files, and parts of files, cannot hold them is not read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Final

import pyarrow as pa
from pyiceberg.expressions import And, BooleanExpression, EqualTo
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import Table

from onward.infra.lake.columns import of_iceberg
from onward.infra.lake.views import require_files

SOUGHT: Final = {"write.parquet.row-group-limit": "8192"}
"""Properties of a table whose rows are looked up: a part of a file is read whole or not at all."""


def find(table: Table, where: Mapping[str, str | int]) -> pa.Table:
    """Return main's rows whose columns have the values of `where`.

    The bounds in the manifests rule files out, those in a file's footer its row groups.
    """
    equal: list[BooleanExpression] = [
        EqualTo(name, value)  # type: ignore[call-arg,arg-type]  # its fields, not its arguments
        for name, value in where.items()
    ]
    condition = reduce(And, equal)
    scan = table.scan(row_filter=condition)
    tasks = list(scan.plan_files())
    require_files(tasks)
    schema = scan.projection()
    rows = ArrowScan(table.metadata, table.io, schema, condition)
    return rows.to_table(tasks).cast(of_iceberg(schema))
