"""Calling the user's function of Ibis tables, and reading the table that it returns."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import (
    DataError,
    Location,
    NotFoundError,
    OnwardError,
    nearest,
    unknown_name,
)
from onward.core.records import DatasetRef
from onward.stages.features.config import FeatureView, Label

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

UTC_TIME: Final = "timestamp('UTC', 6)"


def kind(declared: FeatureView | Label) -> str:
    """Return what to call a declaration in a sentence."""
    word = "label" if isinstance(declared, Label) else "feature view"
    return f"{word} {declared.name!r}"


def inputs_of(
    declared: FeatureView | Label, inputs: Mapping[str, DatasetRef]
) -> dict[str, DatasetRef]:
    """Return the datasets that the function's parameters name.

    Raises
    ------
    NotFoundError
        A parameter names none of `inputs`.
    """
    for name in declared.inputs:
        if name not in inputs:
            what, expected = unknown_name("source or transform", name, inputs)
            raise NotFoundError(
                f"{kind(declared)} reads {name!r}, but {what}",
                expected=expected,
                next_step="name the function's parameters after what it reads",
                location=declared.location,
            )
    return {name: inputs[name] for name in declared.inputs}


def expression(declared: FeatureView | Label, backend: Backend) -> ir.Table:
    """Call the declared function with the tables that its parameters name.

    Raises
    ------
    DataError
        It fails, or returns no Ibis table.
    """
    import ibis.expr.types as ir

    tables = [backend.table(name) for name in declared.inputs]
    try:
        found = declared.function(*tables)
    except OnwardError:
        raise
    except Exception as error:
        raise failed(kind(declared), declared.function, error) from error
    if not isinstance(found, ir.Table):
        raise DataError(
            f"{kind(declared)} returns {type(found).__name__}",
            expected="an Ibis table",
            location=declared.location,
        )
    return found


def failed(subject: str, function: Callable[..., Any], error: Exception) -> DataError:
    """Return the error for a user's function that raised, at the line of its file that did."""
    file = function.__code__.co_filename
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file and frame.lineno]
    first_line = (str(error).strip() or "no message").splitlines()[0]
    return DataError(
        f"{subject} fails: {type(error).__name__}: {first_line}",
        expected=_close(error),
        location=Location(file, lines[-1] if lines else function.__code__.co_firstlineno),
    )


def _close(error: Exception) -> str:
    """Return, as a question, the column that a mistyped attribute of a table probably meant."""
    columns = getattr(getattr(error, "obj", None), "columns", ())
    if not isinstance(error, AttributeError) or not error.name or not columns:
        return ""
    close = nearest(error.name, columns)
    return f"did you mean {close!r}?" if close else f"one of: {', '.join(columns)}"


def fetch(declared: FeatureView | Label, table: ir.Table, backend: Backend) -> pa.Table:
    """Run an expression of the declaration's table and return its rows.

    Raises
    ------
    DataError
        DuckDB cannot evaluate it.
    """
    try:
        return backend.to_pyarrow(table)
    except Exception as error:
        raise failed(kind(declared), declared.function, error) from error


def require(
    declared: FeatureView | Label, table: ir.Table, wanted: Mapping[str, str], hint: str
) -> None:
    """Refuse a table that lacks a column; `wanted` says of each what needs it.

    Raises
    ------
    DataError
        With the closest name there is, and `hint`.
    """
    for name, reason in wanted.items():
        if name in table.columns:
            continue
        close = nearest(name, table.columns)
        meant = f"did you mean {close!r}? " if close else ""
        raise DataError(
            f"{kind(declared)} gives no column {name!r}, {reason}",
            expected=f"{meant}it gives {', '.join(table.columns)}",
            next_step=hint,
            location=declared.location,
        )


def time(declared: FeatureView | Label, table: ir.Table, name: str) -> ir.Value:
    """Return a column as a time in UTC, in microseconds; a naive one is read as UTC.

    Raises
    ------
    DataError
        It is no timestamp.
    """
    if not table[name].type().is_timestamp():
        raise DataError(
            f"column {name!r} of {kind(declared)} is {table[name].type()}",
            expected="a timestamp",
            next_step=f"cast it, for instance _.{name}.cast('timestamp')",
            location=declared.location,
        )
    return table[name].cast(UTC_TIME)


def entity_type(declared: FeatureView | Label, table: ir.Table, name: str) -> str:
    """Return the stored type of a column that identifies something.

    Raises
    ------
    DataError
        It is neither text nor a whole number.
    """
    found = table[name].type()
    if found.is_string():
        return "string"
    if found.is_integer():
        return "int64"
    raise DataError(
        f"column {name!r} of {kind(declared)} is {found}",
        expected="text or a whole number, for a column that identifies something",
        location=declared.location,
    )
