"""A training set's file: one Parquet file, named by the digest of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import DataError, Location
from onward.core.files import settle, unfinished
from onward.core.records import Column, FeaturePlan
from onward.stages.features.labels import EVENT_TIME, LABEL

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_DIGITS: Final = 16


def assembled(
    plan: FeaturePlan,
    rows: pa.Table,
    joined: pa.Table,
    computed: Mapping[str, np.ndarray],
    *,
    also: tuple[str, ...] = (),
    location: Location | None,
) -> pa.Table:
    """Put a training set together, in the columns that `TrainingSetRef` says.

    `rows` has the request's columns, those in `also`, ``event_time`` and ``label``; `joined` the
    views' features and `computed` the on-demand ones, all of shape (n_rows,).

    Raises
    ------
    DataError
        An on-demand feature has a request column's name and other values.
    """
    import pyarrow as pa

    columns: dict[str, Any] = {c.name: rows[c.name] for c in plan.request}
    columns |= {name: rows[name] for name in also}
    columns[EVENT_TIME] = rows[EVENT_TIME]
    sent = {column.name for column in plan.request}
    for column in plan.columns:
        if column.name in computed:
            values = pa.array(computed[column.name], type_of(column), from_pandas=True)
            if column.name in sent and not _unchanged(columns[column.name], values):
                raise _changed(plan, column, location)
        else:
            values = joined[column.name].cast(type_of(column))
        columns[column.name] = values
    columns |= {c.name: joined[c.name].cast(type_of(c)) for c in plan.beside}
    columns[LABEL] = rows[LABEL]
    return pa.table(columns).combine_chunks()


def stored(table: pa.Table, plan: FeaturePlan, folder: Path) -> tuple[str, str]:
    """Write the table into `folder` unless it is there; return its id and its path.

    The id is the beginning of the file's SHA-256. The plan stands in the file's metadata, so two
    sets with the same rows and different plans are two.
    """
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    described = table.replace_schema_metadata({"onward.plan": json.dumps(asdict(plan))})
    partial = unfinished(folder / "rows.parquet")
    try:
        pq.write_table(described, partial, compression="zstd")
        with partial.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
        path = folder / f"{digest}.parquet"
        settle(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return digest, str(path)


def type_of(column: Column) -> pa.DataType:
    """Return the type in which a feature is stored."""
    import pyarrow as pa

    return pa.string() if column.dtype == "string" else pa.float64()


def _unchanged(sent: pa.ChunkedArray, feature: pa.Array) -> bool:
    import pyarrow as pa

    try:
        return bool(sent.cast(feature.type).combine_chunks().equals(feature))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False


def _changed(plan: FeaturePlan, column: Column, location: Location | None) -> DataError:
    function = next(f.name for f in plan.on_demand if column.name in f.outputs)
    return DataError(
        f"on-demand function {function!r} gives a feature {column.name!r} that differs from the"
        " request column of that name",
        expected="a request column passed on as it is, or a feature with a name of its own",
        location=location,
    )
