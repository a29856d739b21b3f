"""The types of requests and training sets: whole numbers, numbers, booleans, text and times.

They are Arrow's ``int64``, ``double``, ``bool``, ``string`` and ``timestamp[us, tz=UTC]``: what
JSON can carry. What is missing is NULL, never NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from onward.core.errors import DataError, Location

if TYPE_CHECKING:
    import pyarrow as pa

TIME: Final = "timestamp[us, tz=UTC]"


def plain(table: pa.Table, *, subject: str, location: Location | None) -> pa.Table:
    """Return the table with each column in the one of these types that holds its values.

    Raises
    ------
    DataError
        A column has a type that JSON has no word for, or a value that its type cannot hold.
    """
    import pyarrow as pa

    columns = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        try:
            columns[field.name] = _missing_as_null(column.cast(_type(field.type)))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError) as error:
            raise DataError(
                f"column {field.name!r} of {subject} is {field.type}",
                expected="numbers, booleans, text or times, as a request carries them",
                next_step=f"cast it in the function, for instance _.{field.name}.cast('string')",
                location=location,
            ) from error
    return pa.table(columns)


def _type(found: pa.DataType) -> pa.DataType:
    import pyarrow.types as is_
    from pyarrow import bool_, float64, int64, string, timestamp

    for matches, wanted in (
        (is_.is_integer, int64()),
        (is_.is_floating, float64()),
        (is_.is_decimal, float64()),
        (is_.is_boolean, bool_()),
        (is_.is_string, string()),
        (is_.is_large_string, string()),
        (is_.is_string_view, string()),
        (is_.is_timestamp, timestamp("us", "UTC")),
        (is_.is_date, timestamp("us", "UTC")),
    ):
        if matches(found):
            return wanted
    raise KeyError(found)


def _missing_as_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
