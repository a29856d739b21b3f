"""Transform: resolve what each reads, order them, and build one on an audit branch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from onward.core.errors import DeclarationError, Location, unknown_name
from onward.core.ports import Lake
from onward.core.records import Batch, DatasetRef, Delta
from onward.core.refs import parse_ref, ref
from onward.stages.transform.code import code_of
from onward.stages.transform.config import Transform
from onward.stages.transform.derive import derive
from onward.stages.transform.graph import order, require_known
from onward.stages.transform.incremental import (
    Change,
    change,
    opened,
    require_incremental,
    whole,
    within,
)
from onward.stages.transform.port import Engine
from onward.stages.transform.query import read_query
from onward.stages.transform.staging import Staging

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["build", "order", "resolve"]


def resolve(transform: Transform, *, folder: Path, known: Iterable[str]) -> Transform:
    """Return the transform with its inputs: a SQL file's are found by parsing it.

    Raises
    ------
    DeclarationError
        It reads a table that is not in `known`, its SQL file is not one query, or it is incremental
        by what it does not read.
    """
    if transform.function is not None or transform.dbt is not None:
        require_known(transform, known)
        require_incremental(transform)
        return transform
    query = read_query(transform, folder)
    datasets = set(known) - {transform.name}
    for name, line in query.tables.items():
        if name not in datasets:
            what, expected = unknown_name("dataset", name, datasets)
            raise DeclarationError(what, expected=expected, location=Location(query.file, line))
    resolved = replace(transform, inputs=tuple(query.tables))
    require_incremental(resolved)
    return resolved


def build(
    transform: Transform,
    *,
    lake: Lake,
    inputs: Mapping[str, DatasetRef],
    folder: Path,
    run: str,
    afresh: bool = False,
    spark: Engine | None = None,
) -> Batch | None:
    """Stage the derived table; None if the published one has these inputs and this code.

    `inputs` holds the snapshot of each dataset that the transform reads. The checks count as
    code: a table whose checks changed is built, and so audited, again. An incremental transform
    builds what its inputs' changes touch, where only they changed. With `afresh` everything is
    built in any case. `spark` runs the transforms of that engine.

    Raises
    ------
    DeclarationError
        The function raises or gives no table, or the SQL is refused.
    DataError
        The query, or the function, fails on a value.
    """
    state = {
        "code": code_of(transform, folder),
        "inputs": json.dumps(sorted(inputs[name].ref for name in transform.inputs)),
    }
    head = lake.head(transform.table)
    staging = Staging(transform=transform, lake=lake, run=run, head=head, state=state)
    found: Change | None = whole(inputs)
    if head is not None and not afresh and head.state.get("code") == state["code"]:
        if staging.up_to_date:
            return None
        found = change(transform, lake=lake, inputs=inputs, since=_since(head.state))
    if found is None:
        return None
    if transform.engine == "spark":
        assert spark is not None
        with spark.rows(transform, inputs) as rows:
            return staging.stage(rows, inputs=[data.ref for data in inputs.values()])
    return _stage(staging, found, folder) or _stage(staging, whole(inputs), folder)


def _stage(staging: Staging, change: Change, folder: Path) -> Batch | None:
    """Stage what is to be built; None where its columns are not those of the table any more."""
    transform, lake = staging.transform, staging.lake
    with opened(change, lake) as connection:
        rows = derive(transform, connection, folder)
        if change.mode != "replace" and not _same_columns(rows, lake, transform.table):
            return None
        return staging.stage(
            within(rows, change.partitions, transform),
            inputs=[_snapshot(data) for data in change.inputs.values()],
            mode=change.mode,
            partitions=change.partitions,
        )


def _since(state: Mapping[str, str]) -> dict[str, int]:
    """Return the snapshot of each table that a published table was built from."""
    refs = [parse_ref(text) for text in json.loads(state.get("inputs", "[]"))]
    return {found.name: int(found.version or 0) for found in refs}


def _snapshot(data: DatasetRef | Delta) -> str:
    return data.ref if isinstance(data, DatasetRef) else ref("snapshot", data.table, data.upto)


def _same_columns(rows: pa.RecordBatchReader, lake: Lake, table: str) -> bool:
    published = lake.schema(table)
    return published is not None and [(f.name, f.type) for f in rows.schema] == [
        (f.name, f.type) for f in published
    ]
