"""Derivation: a transform's rows over opened inputs, as a stream in types that a table stores."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.declared import of_function
from onward.core.disk import full
from onward.core.errors import DataError, DeclarationError, Location, OnwardError
from onward.stages.transform.config import ByDelta, ByPartition, Transform
from onward.stages.transform.query import read_query
from onward.stages.transform.rowwise import needs_all_rows
from onward.stages.transform.stored import stored

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

ROWS_AT_A_TIME: Final = 122_880  # DuckDB's row group


def derive(transform: Transform, connection: Backend, folder: Path) -> pa.RecordBatchReader:
    """Return the transform's rows; they are computed as they are read.

    `connection` holds a table for each name in the transform's inputs.

    Raises
    ------
    DeclarationError
        The function raises or gives no table, the SQL is refused, or a column's type cannot be
        stored.
    DataError
        While the rows are read: the query, or the function, fails on a value.
    """
    if transform.engine == "arrow":
        from onward.stages.transform.arrow import arrow_rows

        return arrow_rows(transform, connection)
    table = _expression(transform, connection, folder)
    _require_rowwise(transform, connection, table)
    return table_rows(transform, table)


def table_rows(transform: Transform, table: ir.Table) -> pa.RecordBatchReader:
    """Return a table's rows in stored types; they are computed as they are read.

    Raises
    ------
    DeclarationError
        A column's type cannot be stored.
    DataError
        While the rows are read: the query fails on a value.
    """
    import pyarrow as pa

    wanted = stored(table.schema(), transform)
    table = table.cast({n: k for n, k in wanted.items() if k != table.schema()[n]})
    by = transform.incremental
    if isinstance(by, ByPartition) and by.column in wanted:
        table = table.order_by(by.column)  # so that a partition lies in few of the table's files
    schema = wanted.to_pyarrow()
    return pa.RecordBatchReader.from_batches(schema, _run(transform, table, schema))


def call(transform: Transform, inputs: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
    """Call the transform's function; `columns` says of each input what it holds, for the error.

    Raises
    ------
    DeclarationError
        It raises, at the line of the user's file that did.
    """
    function = transform.function
    assert function is not None
    try:
        return function(**inputs)
    except OnwardError:
        raise
    except Exception as error:  # the user's own code may raise anything
        raise DeclarationError(
            f"transform {transform.name!r} raised {type(error).__name__}: {error}",
            expected="a table made from "
            + "; ".join(f"{name}: {', '.join(names)}" for name, names in columns.items()),
            location=raised_at(error, of_function(function)),
        ) from error


def raised_at(error: Exception, declared: Location) -> Location:
    """Return the innermost line of the user's file that led to `error`."""
    lines = [
        frame.lineno or declared.line
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == declared.file
    ]
    return Location(declared.file, lines[-1]) if lines else declared


def _expression(transform: Transform, connection: Backend, folder: Path) -> ir.Table:
    import duckdb

    found: Any
    if transform.function is None:
        query = read_query(transform, folder)
        try:
            found = connection.sql(query.text)
        except duckdb.Error as error:
            raise DeclarationError(
                f"the SQL of transform {transform.name!r} is refused: {error}",
                expected="a query that DuckDB accepts over the tables as they are published",
                location=Location(query.file, 1),
            ) from None
    else:
        tables = {name: connection.table(name) for name in transform.inputs}
        found = call(transform, tables, {name: t.columns for name, t in tables.items()})
    return require_table(transform, found)


def require_table(transform: Transform, found: Any) -> ir.Table:
    """Return what a function gave, if it is an Ibis table.

    Raises
    ------
    DeclarationError
        It is something else.
    """
    import ibis.expr.types as ir

    if not isinstance(found, ir.Table):
        raise DeclarationError(
            f"transform {transform.name!r} returns {type(found).__name__}",
            expected="an Ibis table; @ow.transform(engine='arrow') for Python on Arrow",
            location=transform.location,
        )
    return found


def _require_rowwise(transform: Transform, connection: Backend, table: ir.Table) -> None:
    """Refuse a query that is built by delta and needs all of the input's rows at once."""
    if not isinstance(transform.incremental, ByDelta):
        return
    source = transform.incremental.source or transform.inputs[0]
    found = needs_all_rows(connection.compile(table), source)
    if found is not None:
        raise DeclarationError(
            f"transform {transform.name!r} is built by delta, but needs all rows of {source!r} at "
            f"once: it has {found}",
            expected="work row by row: filters, expressions, joins with other inputs",
            next_step="build it by partition, or leave `incremental` out",
            location=transform.location,
        )


def _run(transform: Transform, table: ir.Table, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import duckdb
    import pyarrow as pa

    try:
        for batch in table.to_pyarrow_batches(chunk_size=ROWS_AT_A_TIME):
            # DuckDB adds whole numbers up in 128 bits, whatever Ibis says of the sum.
            yield batch.cast(schema)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise full(error) or DataError(
            f"transform {transform.name!r} fails on its rows: {error}",
            expected="a query that gives a value, or NULL, for whatever comes",
            next_step="use try_cast for cast, and test for zero before a division",
            location=transform.location,
        ) from None
