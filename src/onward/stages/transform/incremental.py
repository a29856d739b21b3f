"""What changed since a table was last built, and so what is to be built of it.

`change` compares the inputs' snapshots with those that the published table was made from. The
answer is never less than what changed: where it cannot be told exactly, everything is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import DataError, DeclarationError, NotFoundError, unknown_name
from onward.core.ports import Lake
from onward.core.records import DatasetRef, Delta, Mode, Partitions
from onward.stages.transform.config import ByDelta, ByPartition, Transform

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

_MANY: Final = 1_000  # partitions; where more changed, building everything is as cheap
_KEY: Final = "_partition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a build reads and what becomes of its rows.

    `keys` says how the rows of a partitioned input fall into `partitions`.
    """

    mode: Mode
    inputs: Mapping[str, DatasetRef | Delta]
    partitions: Partitions | None = None
    keys: Mapping[str, Any]


def whole(inputs: Mapping[str, DatasetRef]) -> Change:
    """Return the change that builds everything."""
    return Change(mode="replace", inputs=inputs, keys={})


def change(
    transform: Transform,
    *,
    lake: Lake,
    inputs: Mapping[str, DatasetRef],
    since: Mapping[str, int],
) -> Change | None:
    """Return what is to be built; None where the inputs hold the rows that they held before.

    `since` has the snapshot of each table that the published one was built from.
    """
    changed = [n for n, data in inputs.items() if since.get(data.table) != data.snapshot]
    match transform.incremental:
        case ByDelta(source):
            return _gained(source or transform.inputs[0], changed, lake, inputs, since)
        case ByPartition():
            return _touched(transform.incremental, changed, lake, inputs, since)
        case None:
            return whole(inputs)


@contextmanager
def opened(change: Change, lake: Lake) -> Iterator[Backend]:
    """Open the inputs of a change; of partitioned ones only the rows in its partitions."""
    hidden = {name: f"_whole_{name}" if name in change.keys else name for name in change.inputs}
    with lake.open({hidden[name]: data for name, data in change.inputs.items()}) as backend:
        for name, key in change.keys.items():
            assert change.partitions is not None
            table = backend.table(hidden[name]).mutate(**{_KEY: key})
            values = [v for v in change.partitions.values if v is not None]
            inside = table[_KEY].isin(values) if values else table[_KEY].isnull() & False
            if len(values) < len(change.partitions.values):
                inside |= table[_KEY].isnull()
            backend.create_view(name, table.filter(inside).drop(_KEY))
        yield backend


def require_incremental(transform: Transform) -> None:
    """Refuse an incremental declaration that names what the transform does not read.

    Raises
    ------
    DeclarationError
        An input that it names is none of the transform's.
    """
    match transform.incremental:
        case ByDelta(None) if len(transform.inputs) != 1:
            raise DeclarationError(
                f"transform {transform.name!r} reads {', '.join(transform.inputs) or 'nothing'}",
                expected="the one whose new rows are added: incremental=ow.by_delta('name')",
                location=transform.location,
            )
        case ByDelta(source):
            named = [source] if source else []
        case ByPartition():
            named = list(transform.incremental.of)
        case None:
            named = []
    for name in named:
        if name not in transform.inputs:
            what, expected = unknown_name("input", name, transform.inputs)
            raise DeclarationError(
                f"transform {transform.name!r}: {what}",
                expected=expected,
                location=transform.location,
            )


def within(
    rows: pa.RecordBatchReader, partitions: Partitions | None, transform: Transform
) -> pa.RecordBatchReader:
    """Return the rows as they are, refusing what lies outside the partitions that are rebuilt.

    Raises
    ------
    DeclarationError
        The transform has no such column, or one that partitions nothing.
    DataError
        While the rows are read: one is of another partition.
    """
    import pyarrow as pa

    by = transform.incremental
    if not isinstance(by, ByPartition):
        return rows
    kind = rows.schema.field(by.column).type if by.column in rows.schema.names else None
    if kind is None or pa.types.is_floating(kind) or pa.types.is_nested(kind):
        raise DeclarationError(
            f"transform {transform.name!r} gives {', '.join(rows.schema.names)}"
            if kind is None
            else f"column {by.column!r} of transform {transform.name!r} is {kind}",
            expected=f"a column {by.column!r} of dates, text or whole numbers, to be built by",
            location=transform.location,
        )
    if partitions is None:
        return rows
    try:
        inside = pa.array(partitions.values, kind)
    except (pa.ArrowException, TypeError):
        raise DeclarationError(
            f"column {by.column!r} of transform {transform.name!r} is {kind}",
            expected=f"the type that its inputs' partitions have: {partitions.values[0]!r} is one",
            location=transform.location,
        ) from None
    return pa.RecordBatchReader.from_batches(rows.schema, _inside(rows, inside, transform, by))


def _inside(
    rows: pa.RecordBatchReader, inside: pa.Array, transform: Transform, by: ByPartition
) -> Iterator[pa.RecordBatch]:
    import pyarrow.compute as pc

    for batch in rows:
        column = batch.column(by.column)
        outside = column.filter(pc.invert(pc.is_in(column, value_set=inside)))
        if len(outside):
            raise DataError(
                f"transform {transform.name!r} gives a row with {by.column} = "
                f"{outside[0].as_py()!s}, and was given only rows of other partitions",
                expected=f"rows of the partitions that it is given: {by.column} as the inputs have",
                next_step="name how the inputs fall into partitions: "
                f"ow.by_partition({by.column!r}, orders=_.ordered_at.date())",
                location=transform.location,
            )
        yield batch


def _gained(
    source: str,
    changed: list[str],
    lake: Lake,
    inputs: Mapping[str, DatasetRef],
    since: Mapping[str, int],
) -> Change | None:
    now = inputs[source]
    if not set(changed) <= {source} or now.table not in since:
        return whole(inputs)
    delta = lake.added(now.table, after=since[now.table], upto=now.snapshot)
    if delta is None:
        return whole(inputs)
    if delta.rows == 0:
        return None
    return Change(mode="append", inputs={**inputs, source: delta}, keys={})


def _touched(
    by: ByPartition,
    changed: list[str],
    lake: Lake,
    inputs: Mapping[str, DatasetRef],
    since: Mapping[str, int],
) -> Change | None:
    found = {name: _key(by, name, data, lake) for name, data in inputs.items()}
    keys = {name: key for name, key in found.items() if key is not None}
    touched: dict[Any, None] = {}
    for name in changed:
        now = inputs[name]
        if name not in keys or now.table not in since:
            return whole(inputs)
        values = _values(lake, now, since[now.table], keys[name])
        if values is None:
            return whole(inputs)
        touched |= dict.fromkeys(values)
    if not touched:
        return None
    if len(touched) > _MANY:
        return whole(inputs)
    partitions = Partitions(column=by.column, values=tuple(touched))
    return Change(mode="partitions", inputs=inputs, partitions=partitions, keys=keys)


def _key(by: ByPartition, name: str, data: DatasetRef, lake: Lake) -> Any:
    """Return the expression on ``_`` that gives an input's partition; None if it has none."""
    if name in by.of:
        return by.of[name]
    schema = lake.schema(data.table)
    if schema is None or by.column not in schema.names:
        return None
    import ibis

    return ibis._[by.column]


def _values(lake: Lake, now: DatasetRef, before: int, key: Any) -> list[Any] | None:
    """Return the partitions whose rows differ between two snapshots; None if that is not known."""
    delta = lake.added(now.table, after=before, upto=now.snapshot)
    if delta is not None:
        with lake.open({"gained": delta}) as backend:
            found = backend.table("gained").select(**{_KEY: key}).distinct().to_pyarrow()
            return _python(found[_KEY])
    try:
        with lake.open({"now": now, "before": replace(now, snapshot=before)}) as backend:
            return _different(backend, key)
    except NotFoundError:  # the snapshot has expired
        return None


def _different(backend: Backend, key: Any) -> list[Any] | None:
    """Compare two tables partition by partition: the number of rows, and two sums of hashes."""
    tables = {name: backend.table(name) for name in ("now", "before")}
    if tables["now"].schema() != tables["before"].schema():
        return None
    for name, table in tables.items():
        backend.create_view(f"keyed_{name}", table.mutate(**{_KEY: key}))
    digests = {
        name: f"SELECT {_KEY}, count(*), bit_xor(hash(t)), sum(hash(t)::HUGEINT)"  # noqa: S608 (names)
        f" FROM keyed_{name} AS t GROUP BY {_KEY}"
        for name in tables
    }
    now, before = digests["now"], digests["before"]
    found = backend.con.execute(
        f"SELECT DISTINCT {_KEY} FROM "  # noqa: S608 (nothing of a user's is in it)
        f"(({now} EXCEPT {before}) UNION ALL ({before} EXCEPT {now}))"
    )
    return _python(found.to_arrow_table()[_KEY])


def _python(values: pa.ChunkedArray) -> list[Any]:
    found: list[Any] = values.to_pylist()
    return found
