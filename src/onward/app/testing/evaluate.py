"""Running one declaration on tables in memory, by the code that runs it in a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from onward.app.testing.inline import tables
from onward.app.testing.types import Types
from onward.core.errors import DeclarationError
from onward.stages.features.config import FeatureView, Label
from onward.stages.features.on_demand import OnDemand
from onward.stages.transform.config import Transform

if TYPE_CHECKING:
    import pyarrow as pa

Declared: TypeAlias = Transform | FeatureView | Label | OnDemand

REQUEST = "request"


def evaluate(declared: Declared, given: Mapping[str, Any], types: Types) -> pa.Table:
    """Return the rows that a declaration gives.

    Raises
    ------
    OnwardError
        It fails, reads what is not given, or is none of the things that can be run.
    """
    if isinstance(declared, OnDemand):
        return _on_demand(declared, tables(given, (REQUEST,), types)[REQUEST])
    if not isinstance(declared, (Transform, FeatureView, Label)):
        raise DeclarationError(
            f"{declared!r} cannot be run on rows",
            expected="a transform, a feature view, a label or an on-demand function",
        )
    if isinstance(declared, Transform) and declared.function is None:
        from onward.stages.transform.step import resolve

        declared = resolve(declared, folder=types.folder, known=(*given, *types.tables))
    return _table(declared, tables(given, declared.inputs, types), types)


def _table(
    declared: Transform | FeatureView | Label, inputs: Mapping[str, pa.Table], types: Types
) -> pa.Table:
    import ibis

    backend = ibis.duckdb.connect()
    try:
        for name, table in inputs.items():
            backend.create_table(name, table)
        if isinstance(declared, Transform):
            from onward.stages.transform.derive import derive

            return derive(declared, backend, types.folder).read_all()
        from onward.stages.features.evaluation import expression, fetch

        return fetch(declared, expression(declared, backend), backend)
    finally:
        backend.disconnect()


def _on_demand(declared: OnDemand, request: pa.Table) -> pa.Table:
    import pyarrow as pa

    from onward.core.records import Column
    from onward.stages.features.columns import plain
    from onward.stages.features.request import called, feature, outputs
    from onward.stages.features.request_columns import typed

    rows = plain(request, subject="the request", location=declared.location)
    for name in set(declared.features) & set(rows.column_names):
        if not pa.types.is_string(rows[name].type):  # as views keep numbers and booleans
            at = rows.column_names.index(name)
            rows = rows.set_column(at, name, rows[name].cast(pa.float64()))
    columns = [Column(name=f.name, dtype=str(f.type)) for f in rows.schema]
    values = {name: rows[name] for name in rows.column_names}
    missing = [name for name in declared.inputs if name not in values]
    if missing:
        raise DeclarationError(
            f"on-demand function {declared.name!r} reads {', '.join(missing)}, which is not given",
            expected=f"given(request=[...]) with {', '.join(declared.inputs)}",
            location=declared.location,
        )
    series, count = typed(columns, set(declared.inputs), values)
    found = called(declared, series)
    return pa.table(
        {
            column.name: pa.array(
                feature(declared, column.name, found[column.name], count, column.dtype),
                column.dtype,
                from_pandas=True,
            )
            for column in outputs(declared, series, count)
        }
    )
