"""Which columns a table stores, and whether incoming rows fit them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from onward.core.errors import DataError
from onward.core.records import Evolution

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Transaction
    from pyiceberg.types import IcebergType


def stored(schema: pa.Schema, table: str) -> pa.Schema:
    """Return the columns as a table stores them: nullable, in Iceberg's types, without metadata.

    Times are in microseconds and in UTC; a naive one is read as UTC, as everywhere in Onward.
    A column of nothing but nulls is stored as text.

    Raises
    ------
    DataError
        A name is missing or stands twice, or a type has no place in a table.
    """
    names = schema.names
    if not names or "" in names or len(set(names)) < len(names):
        raise DataError(
            f"rows for {table} have no usable columns: {', '.join(map(repr, names)) or '(none)'}",
            expected="at least one column, each with a name of its own",
        )
    return pa.schema([pa.field(f.name, _stored_type(f.type, f.name, table)) for f in schema])


def fitted(
    incoming: pa.Schema, published: pa.Schema, table: str, evolution: Evolution | None = None
) -> pa.Schema:
    """Return the columns in which rows with columns `incoming` join a published table.

    A column may be added, may come as nulls only, and may come in a narrower numeric type; what
    else may change says `evolution`.

    Raises
    ------
    DataError
        A published column is missing from the rows or comes in another type.
    """
    wanted = stored(incoming, table)
    if evolution is not None:
        published = _evolved(published, wanted, evolution)
    changes = []
    for field in published:
        index = wanted.get_field_index(field.name)
        if index < 0:
            changes.append(f"- {field.name} ({field.type}): missing from these rows")
        elif not _widens(incoming.field(index).type, wanted.field(index).type, field.type):
            changes.append(
                f"~ {field.name}: {field.type} in the table, {incoming.field(index).type} here"
            )
    added = [f for f in wanted if published.get_field_index(f.name) < 0]
    if changes:
        changes += [f"+ {f.name} ({f.type}): new" for f in added]
        raise DataError(
            f"rows for {table} do not fit its columns:\n    " + "\n    ".join(changes),
            expected="every column of the table, in its type; further columns may be added",
            next_step="cast or restore the columns, or give the changed data a new name",
        )
    return pa.schema([*published, *added])


def _evolved(published: pa.Schema, wanted: pa.Schema, evolution: Evolution) -> pa.Schema:
    names = renamed(published.names, evolution)
    return pa.schema(
        [
            wanted.field(name) if name in evolution.retyped else field.with_name(name)
            for name, field in zip(names, published, strict=True)
        ]
    )


def renamed(names: Sequence[str], evolution: Evolution) -> list[str]:
    """Return the names as they are after an evolution; a renaming that was done changes none."""
    new = {o: n for n, o in evolution.renamed.items() if o in names and n not in names}
    return [new.get(name, name) for name in names]


def cast(
    batches: Iterator[pa.RecordBatch], target: pa.Schema, table: str
) -> Iterator[pa.RecordBatch]:
    """Yield the batches with rows in `target`'s columns.

    Raises
    ------
    DataError
        A value does not fit its column.
    """
    for batch in batches:
        columns = []
        for field in target:
            options = pc.CastOptions(target_type=field.type, allow_time_truncate=True)
            try:
                columns.append(pc.cast(batch.column(field.name), options=options))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise DataError(
                    f"a value in column {field.name!r} does not fit {table}: {error}",
                    expected=f"values of type {field.type}",
                    next_step="cast the column, or add a check that quarantines such rows",
                ) from error
        yield pa.RecordBatch.from_arrays(columns, schema=target)


def of_iceberg(schema: Schema) -> pa.Schema:
    """Return an Iceberg schema as `stored` would have it."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    return stored(schema_to_pyarrow(schema, include_field_ids=False), "a table")


def to_iceberg(schema: pa.Schema) -> Schema:
    """Return stored columns as an Iceberg schema with fresh field ids."""
    from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids
    from pyiceberg.schema import assign_fresh_schema_ids

    return assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(schema, format_version=2))


def evolve(transaction: Transaction, target: pa.Schema, evolution: Evolution | None = None) -> None:
    """Give the table `target`'s columns.

    A column keeps its field id under another name, and in a type that Iceberg promotes its own
    to; else the values under the old id are no more the column's.
    """
    _rename(transaction, evolution)
    now = transaction.table_metadata.schema()
    held = {f.name: f.field_type for f in now.fields}
    stored_now = list(of_iceberg(now))
    types = {field.name: field.field_type for field in to_iceberg(target).fields}
    kept = {f.name for f in target if f in stored_now}
    wider = {n for n in types.keys() - kept if n in held and _promotes(held[n], types[n])}
    dropped = [name for name in held if name not in kept | wider]
    added = [name for name in target.names if name not in kept | wider]
    if dropped or added or wider:
        with transaction.update_schema(allow_incompatible_changes=True) as update:
            for name in dropped:
                update.delete_column((name,))
            for name in sorted(wider):
                update.update_column((name,), types[name])
            for name in added:
                update.add_column((name,), types[name])
    _reorder(transaction, target.names)


def _reorder(transaction: Transaction, names: Sequence[str]) -> None:
    """Put the columns in order; not with the change of one, whose old id its name still means."""
    if [f.name for f in transaction.table_metadata.schema().fields] == list(names):
        return
    with transaction.update_schema() as update:
        update.move_first((names[0],))
        for before, name in pairwise(names):
            update.move_after((name,), (before,))


def _rename(transaction: Transaction, evolution: Evolution | None) -> None:
    names = [f.name for f in transaction.table_metadata.schema().fields]
    if evolution is not None and (new := renamed(names, evolution)) != names:
        with transaction.update_schema() as update:
            for old, name in zip(names, new, strict=True):
                if old != name:
                    update.rename_column((old,), name)


def _promotes(held: IcebergType, wanted: IcebergType) -> bool:
    from pyiceberg.exceptions import ResolveError
    from pyiceberg.schema import promote

    try:
        return held.is_primitive and promote(held, wanted) == wanted
    except ResolveError:
        return False


_SMALL_INTEGERS = (pa.int8(), pa.int16(), pa.uint8(), pa.uint16())


def _stored_type(kind: pa.DataType, column: str, table: str) -> pa.DataType:  # noqa: C901 (one line per family of types)
    is_ = pa.types
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        return _stored_type(kind.value_type, column, table)
    if is_.is_timestamp(kind):
        return pa.timestamp("us", "UTC")
    if (
        is_.is_string(kind)
        or is_.is_large_string(kind)
        or is_.is_string_view(kind)
        or is_.is_null(kind)
    ):
        return pa.string()
    if is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_binary_view(kind):
        return pa.binary()
    if kind in _SMALL_INTEGERS:
        return pa.int32()
    if is_.is_unsigned_integer(kind):
        return pa.int64()
    if is_.is_float16(kind):
        return pa.float32()
    if is_.is_date(kind):
        return pa.date32()
    if is_.is_time(kind):
        return pa.time64("us")
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        return pa.list_(_stored_type(kind.value_type, column, table))
    if is_.is_struct(kind):
        return pa.struct([pa.field(f.name, _stored_type(f.type, column, table)) for f in kind])
    if is_.is_map(kind):
        key = _stored_type(kind.key_type, column, table)
        return pa.map_(key, _stored_type(kind.item_type, column, table))
    if (
        is_.is_boolean(kind)
        or is_.is_integer(kind)
        or is_.is_floating(kind)
        or is_.is_decimal128(kind)
    ):
        return kind
    raise DataError(
        f"column {column!r} of the rows for {table} has type {kind}, which a table cannot store",
        expected="numbers, text, booleans, dates, times, bytes, or lists, structs and maps of them",
        next_step="cast the column before it is staged",
    )


def _widens(raw: pa.DataType, incoming: pa.DataType, published: pa.DataType) -> bool:
    if incoming == published or pa.types.is_null(raw):
        return True
    if pa.types.is_decimal(incoming) and pa.types.is_decimal(published):
        return bool(incoming.scale == published.scale and incoming.precision <= published.precision)
    wider = {
        pa.int32(): (pa.int64(), pa.float64()),
        pa.int64(): (pa.float64(),),
        pa.float32(): (pa.float64(),),
    }
    return published in wider.get(incoming, ())
