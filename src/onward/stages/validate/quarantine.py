"""The quarantine: offenders, kept with the rules that they broke."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from onward.core.ports import Lake
from onward.core.records import UNREADABLE, Batch
from onward.stages.validate.rules import Rule
from onward.stages.validate.split import Split, reasons

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa


def table_of(table: str) -> str:
    """Return the name of a table's quarantine."""
    return "quarantine." + table.replace(".", "_")


def keep(batch: Batch, split: Split, rules: Sequence[Rule], *, lake: Lake, at: datetime) -> None:
    """Append the offenders to the batch's quarantine, once.

    Their columns are those of the batch, then `_unreadable` (the text of values that could not be
    read), `_reasons` and `_rules` (the names and versions of the rules broken), `_run` and
    `_quarantined_at`.
    """
    import ibis

    name = table_of(batch.table)
    names, versions = reasons(split, rules)
    unreadable = (
        split.offenders[UNREADABLE]
        if UNREADABLE in split.offenders.columns
        else ibis.null("string")
    )
    columns = {column: split.offenders[column] for column in split.good.columns}
    rows = split.offenders.select(
        **_fitted(columns, lake.schema(name)),
        **{UNREADABLE: unreadable},
        _reasons=names,
        _rules=versions,
        _run=ibis.literal(batch.run, "string"),
        _quarantined_at=ibis.literal(at, ibis.dtype("timestamp('UTC', 6)")),
    )
    lake.append(name, rows.to_pyarrow_batches(), key=f"{batch.ref}/{batch.base}")


def _fitted(columns: dict[str, ir.Value], published: pa.Schema | None) -> dict[str, ir.Value]:
    """Return the columns as the quarantine can take them.

    A derived table may lose a column or change its type; its quarantine keeps what it has. A
    column of another type gets that type's name behind its own.
    """
    import ibis

    if published is None:
        return columns
    kept = dict(ibis.schema(published).items())
    fitted: dict[str, ir.Value] = {
        name: ibis.null(kind) for name, kind in kept.items() if not name.startswith("_")
    }
    for name, column in columns.items():
        same = name not in kept or column.type().copy(nullable=True) == kept[name]
        fitted[name if same else f"{name}__{_word(column)}"] = column
    return fitted


def _word(column: ir.Value) -> str:
    return type(column.type()).__name__.lower()
