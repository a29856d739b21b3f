"""Stored types: a derived table's columns in the types that the lake keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onward.core.errors import DeclarationError
from onward.stages.transform.config import Transform

if TYPE_CHECKING:
    import ibis
    import ibis.expr.datatypes as dt


def stored(schema: ibis.Schema, transform: Transform) -> ibis.Schema:
    """Return the types in which a transform's columns are stored.

    Integers become int64, floats and decimals double, times UTC with microseconds, and what
    Arrow and Iceberg do not know (UUIDs, addresses, JSON) text.

    Raises
    ------
    DeclarationError
        A column's type cannot be stored.
    """
    import ibis

    wanted = {name: _stored_type(kind) for name, kind in schema.items()}
    for name, kind in wanted.items():
        if kind is None:
            raise DeclarationError(
                f"column {name!r} of transform {transform.name!r} is an interval, which no table "
                "stores",
                expected="a number of seconds or days, or two times",
                location=transform.location,
            )
    return ibis.schema(wanted)


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
