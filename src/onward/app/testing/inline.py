"""Inline rows as tables, in the types that are known of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from onward.app.testing.types import Types
from onward.core.errors import DataError, NotFoundError, unknown_name

if TYPE_CHECKING:
    import pyarrow as pa


def tables(given: Mapping[str, Any], reads: tuple[str, ...], types: Types) -> dict[str, pa.Table]:
    """Return an Arrow table for each name in `reads`.

    What is not given is empty, if it is published.

    Raises
    ------
    NotFoundError
        A name is given that is not read, or read and neither given nor published.
    DataError
        A column's values have no common type, or are not of the published one.
    """
    for name in given:
        if name not in reads:
            what, expected = unknown_name("input", name, reads)
            raise NotFoundError(what, expected=expected)
    return {name: _table(name, given.get(name), types) for name in reads}


def _table(name: str, rows: Any, types: Types) -> pa.Table:
    known = types.of(name)
    if rows is None and not known:
        raise NotFoundError(
            f"{name!r} is read, but not given",
            expected=f"rows for it: given({name}=[...]), or [] once it is published",
        )
    import pyarrow as pa

    if hasattr(rows, "__arrow_c_stream__"):
        return pa.table(rows)
    rows = list(rows or [])
    columns = [*known, *dict.fromkeys(column for row in rows for column in row)]
    return pa.table(
        {
            column: _column(name, column, [row.get(column) for row in rows], known, types.times)
            for column in dict.fromkeys(columns)
        }
    )


def _column(
    name: str,
    column: str,
    values: list[Any],
    known: Mapping[str, pa.DataType],
    times: frozenset[str],
) -> pa.Array:
    import pyarrow as pa

    kind = known.get(column)
    try:
        if pa.types.is_timestamp(kind) if kind is not None else column in times:
            return pa.array([moment(v) for v in values], kind or pa.timestamp("us", "UTC"))
        if kind is None and any(isinstance(v, datetime) for v in values):
            return pa.array([moment(v) for v in values], pa.timestamp("us", "UTC"))
        found = pa.array(values)
        return found if kind is None else found.cast(kind)
    except (pa.ArrowException, ValueError, TypeError) as error:
        wanted = "values of one type" if kind is None else f"values that {kind} can hold"
        raise DataError(
            f"the given column {name}.{column} cannot be read: {error}", expected=wanted
        ) from None


def moment(value: Any) -> Any:
    """Return a time or its text as a moment in UTC, anything else as it is."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
