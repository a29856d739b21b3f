"""Rows in a lake, for its contract: what a table holds, and tables of one column of numbers."""

from __future__ import annotations

import pyarrow as pa

from onward.core.ports import Lake, Snapshot


def rows(table: pa.Table) -> list[tuple]:
    return sorted(tuple(row.values()) for row in table.to_pylist())


def put(lake: Lake, *values: int, **said: object) -> Snapshot:
    return lake.append("raw.n", pa.table({"id": list(values)}), key=str(values), **said)


def replace(lake: Lake, *values: int) -> Snapshot:
    table = pa.table({"id": list(values)})
    staged = lake.stage("raw.n", table, branch="x", mode="replace", summary={"of": str(values)})
    return lake.publish("raw.n", "x", expect=staged.parent)
