"""Derivation: a transform's Ibis table over opened inputs, in types that a table stores."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.core.declared import of_function
from onward.core.errors import DeclarationError, Location, OnwardError
from onward.stages.transform.config import Transform
from onward.stages.transform.query import read_query

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend


def derive(transform: Transform, connection: Backend, folder: Path) -> ir.Table:
    """Return the transform's result as an unevaluated table.

    Integers become int64, floats and decimals double, times UTC with microseconds, and what
    Arrow and Iceberg do not know (UUIDs, addresses, JSON) text.

    Raises
    ------
    DeclarationError
        The function raises or gives no table, or a column's type cannot be stored.
    """
    import duckdb
    import ibis.expr.types as ir

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
        found = _called(transform, [connection.table(name) for name in transform.inputs])
    if not isinstance(found, ir.Table):
        raise DeclarationError(
            f"transform {transform.name!r} returns {type(found).__name__}",
            expected="an Ibis table",
            location=transform.location,
        )
    return _storable(found, transform)


def _called(transform: Transform, tables: list[ir.Table]) -> Any:
    function = transform.function
    assert function is not None
    try:
        return function(*tables)
    except OnwardError:
        raise
    except Exception as error:  # the user's own code may raise anything
        columns = "; ".join(
            f"{name}: {', '.join(table.columns)}"
            for name, table in zip(transform.inputs, tables, strict=True)
        )
        raise DeclarationError(
            f"transform {transform.name!r} raised {type(error).__name__}: {error}",
            expected=f"an Ibis table made from {columns}",
            location=_raised_at(error, of_function(function)),
        ) from error


def _raised_at(error: Exception, declared: Location) -> Location:
    """Return the innermost line of the user's file that led to `error`."""
    lines = [
        frame.lineno or declared.line
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == declared.file
    ]
    return Location(declared.file, lines[-1]) if lines else declared


def _storable(table: ir.Table, transform: Transform) -> ir.Table:
    wanted = {name: _stored_type(kind) for name, kind in table.schema().items()}
    for name, kind in wanted.items():
        if kind is None:
            raise DeclarationError(
                f"column {name!r} of transform {transform.name!r} is an interval, which no table "
                "stores",
                expected="a number of seconds or days, or two times",
                location=transform.location,
            )
    return table.cast({n: k for n, k in wanted.items() if k != table.schema()[n]})


def _stored_type(kind: dt.DataType) -> dt.DataType | None:
    import ibis.expr.datatypes as dt

    if kind.is_integer():
        return dt.Int64()
    if kind.is_floating() or kind.is_decimal():
        return dt.Float64()
    if kind.is_timestamp():
        return dt.Timestamp(timezone="UTC", scale=6)
    if kind.is_interval():
        return None
    if kind.is_boolean() or kind.is_date() or kind.is_time() or kind.is_binary():
        return kind
    return kind if kind.is_nested() else dt.String()
