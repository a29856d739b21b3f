"""Python on Arrow: functions of Arrow tables or streams, and what they may return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from onward.core.declared import of_function
from onward.core.disk import full
from onward.core.errors import DataError, DeclarationError, OnwardError
from onward.stages.transform.config import Transform
from onward.stages.transform.derive import ROWS_AT_A_TIME, call, raised_at
from onward.stages.transform.stored import stored

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend


def arrow_rows(transform: Transform, connection: Backend) -> pa.RecordBatchReader:
    """Call the function and return its rows in stored types.

    Memory: an input is held whole, unless its parameter is annotated ``pa.RecordBatchReader``;
    the result is held whole if the function returns it so, and batch by batch if it yields.

    Raises
    ------
    DeclarationError
        The function raises, returns nothing that is Arrow, or a column's type cannot be stored.
    DataError
        While the rows are read: the function raises, or a value does not fit its column.
    """
    inputs = {name: _input(transform, connection, name) for name in transform.inputs}
    found = call(transform, inputs, {name: data.schema.names for name, data in inputs.items()})
    return stored_rows(transform, _reader(transform, found))


def stored_rows(transform: Transform, rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Return rows in stored types, batch by batch.

    Raises
    ------
    DeclarationError
        A column's type cannot be stored.
    DataError
        While the rows are read: a value does not fit its column.
    """
    import ibis
    import pyarrow as pa

    try:
        wanted = stored(ibis.Schema.from_pyarrow(rows.schema), transform).to_pyarrow()
    except pa.ArrowException as error:
        raise _not_arrow(transform, str(error)) from None
    return pa.RecordBatchReader.from_batches(wanted, _cast(transform, rows, wanted))


def _input(transform: Transform, connection: Backend, name: str) -> Any:
    annotation = getattr(transform.function, "__annotations__", {}).get(name, "")
    kind = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if kind.rpartition(".")[2] != "RecordBatchReader":
        return connection.to_pyarrow(connection.table(name))
    # A cursor of its own: a connection has one open result, and streams are read side by side.
    cursor = connection.con.cursor()
    cursor.execute("SET TimeZone = 'UTC'")
    return cursor.execute(f'FROM "{name}"').to_arrow_reader(ROWS_AT_A_TIME)


def _reader(transform: Transform, found: Any) -> pa.RecordBatchReader:
    import pyarrow as pa

    if isinstance(found, pa.RecordBatch):
        found = pa.Table.from_batches([found])
    if isinstance(found, pa.Table):
        return found.to_reader(ROWS_AT_A_TIME)
    if hasattr(found, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(found)
    if isinstance(found, Iterable) and not isinstance(found, (str, bytes, dict)):
        return _streamed(transform, _blamed(transform, found))
    raise _not_arrow(transform, f"it returns {type(found).__name__}")


def _streamed(transform: Transform, batches: Iterator[Any]) -> pa.RecordBatchReader:
    import pyarrow as pa

    first = next(batches, None)
    if not isinstance(first, pa.RecordBatch):
        what = "nothing" if first is None else type(first).__name__
        raise _not_arrow(transform, f"the first thing that it yields is {what}")
    return pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))


def _blamed(transform: Transform, batches: Iterable[Any]) -> Iterator[Any]:
    """Pass on what the user's generator yields; what it raises is said at its line."""
    function = transform.function
    assert function is not None
    try:
        yield from batches
    except OnwardError:
        raise
    except Exception as error:
        raise full(error) or DataError(
            f"transform {transform.name!r} raised {type(error).__name__}: {error}",
            location=raised_at(error, of_function(function)),
        ) from error


def _cast(
    transform: Transform, rows: pa.RecordBatchReader, wanted: pa.Schema
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for batch in rows:
        try:
            columns = [
                # Nanoseconds are cut to microseconds; nothing else may lose anything.
                batch.column(field.name).cast(field.type, safe=not pa.types.is_temporal(field.type))
                for field in wanted
            ]
        except pa.ArrowException as error:
            raise DataError(
                f"transform {transform.name!r} gives a value that no table stores: {error}",
                expected="int64, double, text, times in microseconds",
                location=transform.location,
            ) from None
        yield pa.RecordBatch.from_arrays(columns, schema=wanted)


def _not_arrow(transform: Transform, what: str) -> DeclarationError:
    return DeclarationError(
        f"transform {transform.name!r} gives no Arrow table: {what}",
        expected="a pyarrow Table or RecordBatchReader, a DataFrame, or record batches one by one",
        location=transform.location,
    )
