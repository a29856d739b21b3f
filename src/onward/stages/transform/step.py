"""Transform: resolve what each reads, order them, and build one on an audit branch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from onward.core import fingerprint
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.core.ports import Lake
from onward.core.records import Batch, DatasetRef
from onward.stages.transform.config import Transform
from onward.stages.transform.derive import derive
from onward.stages.transform.graph import order, require_known
from onward.stages.transform.query import read_query

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["build", "order", "resolve"]


def resolve(transform: Transform, *, folder: Path, known: Iterable[str]) -> Transform:
    """Return the transform with its inputs: a SQL file's are found by parsing it.

    Raises
    ------
    DeclarationError
        It reads a table that is not in `known`, or its SQL file is not one query.
    """
    if transform.function is not None:
        require_known(transform, known)
        return transform
    query = read_query(transform, folder)
    datasets = set(known) - {transform.name}
    for name, line in query.tables.items():
        if name not in datasets:
            what, expected = unknown_name("dataset", name, datasets)
            raise DeclarationError(what, expected=expected, location=Location(query.file, line))
    return replace(transform, inputs=tuple(query.tables))


def build(
    transform: Transform,
    *,
    lake: Lake,
    inputs: Mapping[str, DatasetRef],
    folder: Path,
    run: str,
    afresh: bool = False,
) -> Batch | None:
    """Stage the derived table; None if the published one has these inputs and this code.

    `inputs` holds the snapshot of each dataset that the transform reads. The checks count as
    code: a table whose checks changed is built, and so audited, again. With `afresh` it is built
    in any case.

    Raises
    ------
    DeclarationError
        The function raises or gives no table, or the SQL is refused.
    DataError
        The query, or the function, fails on a value.
    """
    state = {
        "code": _code(transform, folder),
        "inputs": json.dumps(sorted(inputs[name].ref for name in transform.inputs)),
    }
    head = lake.head(transform.table)
    built = head is not None and all(head.state.get(k) == v for k, v in state.items())
    if built and not afresh:
        return None
    base = None if head is None else head.id
    summary = {"key": f"{run}@{base}"}
    with lake.open({name: inputs[name] for name in transform.inputs}) as connection:
        rows = _Counted(derive(transform, connection, folder))
        staged = lake.stage(
            transform.table,
            rows.reader(),
            branch=f"audit-{run}",
            mode="replace",
            summary=summary,
            state=state,
        )
    return Batch(
        dataset=transform.name,
        table=transform.table,
        branch=f"audit-{run}",
        run=run,
        mode="replace",
        rows=rows.count,
        base=base,
        snapshot=staged.id,
        summary=summary,
        state=state,
        inputs=tuple(inputs[name].ref for name in transform.inputs),
    )


class _Counted:
    """Rows as a stream, counted as they pass."""

    def __init__(self, rows: pa.RecordBatchReader) -> None:
        self.count = 0
        self._rows = rows

    def reader(self) -> pa.RecordBatchReader:
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(self._rows.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._rows:
            self.count += batch.num_rows
            yield batch


def _code(transform: Transform, folder: Path) -> str:
    if transform.function is not None:
        body = fingerprint.of_function(transform.function)
    else:
        body = read_query(transform, folder).code
    checks = [(c.name, c.scope, c.severity, c.version) for c in transform.checks]
    return fingerprint.of_text(body, transform.engine, *checks)
