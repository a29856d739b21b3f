"""Masking: between reading and the first write, in one place for every origin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from onward.core.errors import DataError, DeclarationError
from onward.core.ports import Masks
from onward.core.records import Mask
from onward.stages.ingest.config import Source

if TYPE_CHECKING:
    import pyarrow as pa

ENTRY: Final = "masks"
"""The entry of a table's state that says how its columns are masked."""


def as_read(source: Source, published: pa.Schema | None) -> pa.Schema | None:
    """Return the columns in which rows for a published table are read, before they are masked."""
    import pyarrow as pa

    if published is None or not source.masked:
        return published
    fields = [pa.field(f.name, pa.float64()) if f.name in _binned(source) else f for f in published]
    return pa.schema([*fields, *(pa.field(name, pa.string()) for name in _dropped(source))])


def entry(
    source: Source,
    masks: Masks | None,
    state: Mapping[str, str],
    published: pa.Schema | None,
) -> Mapping[str, str]:
    """Return the entry for rows that are masked as declared now.

    `state` is the published table's. A column that the table does not have yet may come masked.

    Raises
    ------
    DeclarationError
        The table's rows so far are masked otherwise, or by another key.
    """
    now = {
        name: _described(mask, _given(source, masks))
        for name, mask in sorted(source.masked.items())
    }
    before: dict[str, str] = json.loads(state.get(ENTRY, "{}"))
    for name, was in _held(source, before, published).items():
        if now.get(name) != was:
            raise _other_mask(source, name, was, now.get(name))
    return {ENTRY: json.dumps(now)} if now else {}


def _held(
    source: Source, before: Mapping[str, str], published: pa.Schema | None
) -> dict[str, str | None]:
    """Return how the columns that the table has, or dropped, are masked, by their present names."""
    new_names = {old: new for new, old in source.renamed.items()}
    held = before.keys() | (set(published.names) if published is not None else set())
    return {new_names.get(name, name): before.get(name) for name in sorted(held)}


def masked(source: Source, masks: Masks | None, rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Return the rows with every masked column masked, and without those that are dropped.

    Raises
    ------
    DeclarationError
        A mask cannot take the column's type.
    """
    import pyarrow as pa

    if not source.masked:
        return rows
    port = _given(source, masks)
    kept = [f for f in rows.schema if f.name not in _dropped(source)]
    for field in kept:
        if field.name in source.masked:
            _require_type(source, field, source.masked[field.name])
    fields = [pa.field(f.name, pa.string()) if _gives_text(source, f.name) else f for f in kept]
    schema = pa.schema(fields)

    def batch(raw: pa.RecordBatch) -> pa.RecordBatch:
        columns = {f.name: raw.column(f.name) for f in kept}
        for name, mask in source.masked.items():
            if name in columns:
                columns[name] = port.column(mask, columns[name])
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)

    return pa.RecordBatchReader.from_batches(schema, map(batch, rows))


def _given(source: Source, masks: Masks | None) -> Masks:
    if masks is None:
        raise ValueError(f"source {source.name!r} masks columns, and nothing was given to do it")
    return masks


def _described(mask: Mask, masks: Masks) -> str:
    """Return the mask in words, with the key that its values must be matched by."""
    return f"{mask} by key {masks.key(mask)}" if mask.keyed and mask.stable else str(mask)


def _dropped(source: Source) -> list[str]:
    return [name for name, mask in source.masked.items() if mask.kind == "drop"]


def _binned(source: Source) -> list[str]:
    return [name for name, mask in source.masked.items() if mask.bins]


def _gives_text(source: Source, column: str) -> bool:
    mask = source.masked.get(column)
    return mask is not None and (mask.keyed or bool(mask.bins))


def _require_type(source: Source, field: pa.Field, mask: Mask) -> None:
    import pyarrow as pa

    number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    time = pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)
    if (mask.step is not None and not number) or (mask.to and not time):
        raise DeclarationError(
            f"column {field.name!r} of source {source.name!r} is {field.type}, and is masked by "
            f"{mask}",
            expected="a number for step, a time or a date for to",
            next_step=f"say what it is: types={{{field.name!r}: ...}}, or mask it otherwise",
            location=source.location,
        )


def _other_mask(
    source: Source, column: str, before: str | None, now: str | None
) -> DeclarationError | DataError:
    if before and now and before.partition(" by key ")[0] == now.partition(" by key ")[0]:
        return DataError(
            f"column {column!r} of {source.table} is masked by another key now",
            expected=f"{before}; the newest key gives {now.partition(' by key ')[2]}",
            next_step="put the earlier key back: it is in the secret store that was used then",
            location=source.location,
        )
    return DeclarationError(
        f"column {column!r} of {source.table} was published as {before or 'it came'}, and is "
        f"declared {f'as {now}' if now else 'without a mask'} now",
        expected="one mask for all rows of a table",
        next_step="declare a source of another name, and erase the old table's rows once nothing "
        "reads them",
        location=source.location,
    )
