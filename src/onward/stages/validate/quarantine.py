"""The quarantine: offenders, kept with the rules that they broke."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from onward.core.ports import Lake
from onward.core.records import UNREADABLE, Batch
from onward.stages.validate.rules import Rule
from onward.stages.validate.split import Split, reasons

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa


_STATE: Final = "quarantine"


def table_of(table: str) -> str:
    """Return the name of a table's quarantine."""
    return "quarantine." + table.replace(".", "_")


def stage(batch: Batch, split: Split, rules: Sequence[Rule], *, lake: Lake, at: datetime) -> None:
    """Write the offenders on a branch of the batch's quarantine, for `settle` to publish.

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
    lake.stage(
        name,
        rows.to_pyarrow_batches(),
        branch=batch.branch,
        mode="append",
        summary={"batch": batch.summary["key"], "run": batch.run},
    )


def entry(batch: Batch) -> Mapping[str, str]:
    """Return what a table's state says of the offenders that belong to its newest batch."""
    return {_STATE: json.dumps({"branch": batch.branch, "key": batch.summary["key"]})}


def settle(table: str, *, lake: Lake) -> None:
    """Publish the offenders of the newest published batch, unless that was done.

    Offenders become visible after the rows they came with, never without them: a run that dies
    before it publishes leaves nothing in the quarantine, and one that dies between the two is
    settled when it resumes, or by the next audit of the table.
    """
    head = lake.head(table)
    told = head and head.state.get(_STATE)
    if not told:
        return
    last = json.loads(told)
    name, branch = table_of(table), last["branch"]
    staged = lake.head(name, branch)
    if staged is None or staged.summary.get("batch") != last["key"]:
        return
    offenders = Batch(
        dataset=name,
        table=name,
        branch=branch,
        run=staged.summary["run"],
        mode="append",
        rows=0,
        base=staged.parent,
        snapshot=staged.id,
    )
    with lake.open({"offenders": offenders}) as connection:
        rows = connection.table("offenders").to_pyarrow_batches()
        lake.append(name, rows, key=last["key"])
    lake.drop_branch(name, branch)


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
