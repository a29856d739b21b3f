"""Rows that callers send to ``predict``: decoded and checked in one pass, by generated types.

The fast path is msgspec on a struct made from the plans. Where it refuses, `explain` reads the
body again, slowly, to say which row, which column and what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final

import msgspec

from onward.core.errors import DataError, nearest
from onward.core.records import Column, FeaturePlan
from onward.stages.serve.gateway.routing.masking import raw_type

_WHOLE: Final = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class RowDecoder:
    """Decodes ``{"rows": [{column: value, …}, …]}`` for the arms of one model.

    `columns` are the request columns of all plans. One that every plan reads must be there; one
    that only some arm reads may be missing, and then that arm refuses the row. Further columns
    are ignored. Only key columns refuse null. `optional` says whether any may be missing.
    """

    def __init__(self, plans: Sequence[FeaturePlan]) -> None:
        self._plans = plans
        found: dict[str, list[Column]] = {}
        for plan in plans:
            for column in plan.request:
                found.setdefault(column.name, []).append(column)
        self.columns = tuple(found)
        keys = {name for plan in plans for name in plan.key}
        fields: list[Any] = []
        for at, (name, columns) in enumerate(found.items()):
            kinds = {(c.dtype, c.mask) for c in columns}
            kind = sent_type(columns[0]) if len(kinds) == 1 else Any
            if name not in keys:
                kind = kind | None if kind is not Any else Any
            required = len(columns) == len(plans)
            fields.append((f"c{at}", kind) if required else (f"c{at}", kind, msgspec.UNSET))
        self.optional = any(len(columns) < len(plans) for columns in found.values())
        row = msgspec.defstruct(
            "Row",
            sorted(fields, key=len),
            rename={f"c{at}": name for at, name in enumerate(found)},
            frozen=True,
        )
        self.columns = tuple(self.columns[int(name[1:])] for name in row.__struct_fields__)
        body = msgspec.defstruct("Body", [("rows", list[row])])  # type: ignore[valid-type]  # made at run time
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(body).decode

    def decode(self, body: bytes) -> list[tuple[Any, ...]]:
        """Return each row's values in `columns` order, UNSET where an optional one is missing.

        Raises
        ------
        DataError
            The body is no such JSON, or a value has not its column's type.
        """
        try:
            rows = self._decode(body).rows
        except (msgspec.DecodeError, RecursionError) as error:
            raise explain(body, self._plans[0], str(error)) from None
        if not rows:
            raise DataError("there are no rows", expected='{"rows": [{…}, …]} with one or more')
        astuple = msgspec.structs.astuple
        return [astuple(row) for row in rows]

    def positions(self, columns: Sequence[Column]) -> tuple[int, ...]:
        """Return where request columns lie among `columns`."""
        return tuple(self.columns.index(column.name) for column in columns)


def sent_type(column: Column) -> Any:
    """Return the type in which a caller may send a request column."""
    if column.mask is not None:
        return raw_type(column)
    kind = python_type(column.dtype)
    return _WHOLE if kind is int and column.dtype != "uint64" else kind


def python_type(dtype: str) -> Any:
    """Return the type in which a request column of this Arrow type arrives."""
    if dtype.startswith(("double", "float", "halffloat", "decimal")):
        return float
    if dtype.startswith(("int", "uint")):
        return int
    if dtype.startswith("timestamp"):
        return datetime
    kinds: dict[str, Any] = {"string": str, "large_string": str, "bool": bool, "date32[day]": date}
    return kinds.get(dtype, Any)


def explain(body: bytes, plan: FeaturePlan, error: str) -> DataError:
    """Return what is wrong with a body that could not be decoded."""
    try:
        rows = json.loads(body)["rows"]
        if not isinstance(rows, list):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        return DataError(f"the body cannot be read: {error}", expected='{"rows": [{…}, …]} in JSON')
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            return DataError(f"row {number} is no object", expected="{column: value, …}")
        for column in plan.request:
            if wrong := _wrong(row, column, plan):
                what, expected = wrong
                return DataError(f"row {number}: {what}", expected=expected)
    return DataError(f"the rows cannot be read: {error}")


def _wrong(row: Mapping[str, Any], column: Column, plan: FeaturePlan) -> tuple[str, str] | None:
    kind = f"{column.name}: {column.dtype}"
    if column.name not in row:
        known = {c.name for c in plan.request}
        close = nearest(column.name, row.keys() - known)
        hint = f"; did {close!r} mean it?" if close else ""
        return f"column {column.name!r} is missing{hint}", kind
    value = row[column.name]
    allowed = sent_type(column)
    if column.name not in plan.key and allowed is not Any:
        allowed, kind = allowed | None, f"{kind}, or null"
    try:
        msgspec.convert(value, allowed)
    except msgspec.ValidationError:
        return f"column {column.name!r} is {value!r}", kind
    return None
