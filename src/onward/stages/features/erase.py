"""Erasing a subject from the online store and from training sets."""

# ruff: noqa: S608 (identifiers are quoted)

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.files import remove_unfinished, settle, unfinished
from onward.core.ports import Lake, OnlineStore
from onward.core.records import Subject, ViewPlan
from onward.stages.features.sql import comma
from onward.stages.features.versions import all_versions

if TYPE_CHECKING:
    import pyarrow as pa

ERASED: Final = "onward.erased"
"""In the metadata of a training set's file: rows are gone, and its name digests what it was."""


def erase_online(
    subject: Subject, *, lake: Lake, online: OnlineStore, dry_run: bool = False
) -> int:
    """Remove every row that is about the subject, or names it, of every version of every view.

    The entities are those of the views' tables: call it before these are erased. Returns how many
    entities the tables have.
    """
    found = 0
    for plan in all_versions(lake):
        entities = _entities(plan, subject, lake)
        found += len(entities)
        if entities and not dry_run:
            online.remove(plan, entities)
    return found


def _entities(plan: ViewPlan, subject: Subject, lake: Lake) -> list[tuple[Any, ...]]:
    schema = lake.schema(plan.table)
    columns = [] if schema is None else [c for c in subject.columns if c in schema.names]
    if not columns:
        return []
    about = " OR ".join(f"CAST({comma((c,))} AS VARCHAR) IN (SELECT unnest(?))" for c in columns)
    with lake.open({"_rows": lake.dataset(plan.table)}) as backend:
        rows = backend.raw_sql(
            f"SELECT DISTINCT {comma(plan.entity)} FROM _rows WHERE {about}",
            parameters=[sorted(subject.values)] * len(columns),
        )
        found: list[tuple[Any, ...]] = rows.fetchall()
        return found


def erase_training_sets(folder: Path, subject: Subject, *, dry_run: bool = False) -> int:
    """Rewrite every training set without the subject's rows; return how many these were.

    A file keeps its name, by which models know it, and says in its metadata that rows are gone.
    Each is replaced whole; what a crash left unfinished is removed.
    """
    found = 0
    if not folder.is_dir():
        return 0
    if not dry_run:
        remove_unfinished(folder)
    for path in sorted(folder.glob("*.parquet")):
        found += _rewritten(path, subject, dry_run=dry_run)
    return found


def _rewritten(path: Path, subject: Subject, *, dry_run: bool) -> int:
    import pyarrow.parquet as pq

    scratch = unfinished(path)
    with pq.ParquetFile(path) as file:
        key = json.loads(file.schema_arrow.metadata[b"onward.plan"])["key"]
        gone: int = sum(_about(b, key, subject).true_count for b in file.iter_batches())
        if not gone or dry_run:
            return gone
        marked = file.schema_arrow.with_metadata(
            {**file.schema_arrow.metadata, ERASED.encode(): b"true"}
        )
        with pq.ParquetWriter(scratch, marked, compression="zstd") as writer:
            for batch in file.iter_batches():
                kept = batch.filter(_kept(batch, key, subject))
                writer.write_batch(kept.replace_schema_metadata(marked.metadata))
    settle(scratch, path)
    return gone


def _kept(batch: pa.RecordBatch, key: Sequence[str], subject: Subject) -> pa.Array:
    import pyarrow.compute as pc

    return pc.invert(_about(batch, key, subject))


def _about(batch: pa.RecordBatch, key: Sequence[str], subject: Subject) -> pa.Array:
    """Return, for each row, whether it is about the subject."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pa.array(sorted(subject.values), pa.string())
    units = pa.array(sorted(subject.units), pa.string())
    joined = pc.binary_join_element_wise(*(batch[c].cast(pa.string()) for c in key), "|")
    about = pc.is_in(joined, units)
    for column in subject.columns:
        if column in batch.schema.names:
            about = pc.or_(about, pc.is_in(batch[column].cast(pa.string()), values))
    return about
