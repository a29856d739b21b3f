"""The quarantine: offenders, kept with the rules that they broke, and what became of them.

A row in quarantine is never changed or deleted. Whatever becomes of it (other reasons, a mended
value, its release) is a further version of the row, under the same id; the newest counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from onward.core import fingerprint
from onward.core.ports import Lake, Snapshot, Staged
from onward.core.records import UNREADABLE, Batch, DatasetRef, Evolution
from onward.stages.validate.quarantine.positions import SOURCE, located
from onward.stages.validate.rules.rule import Rule
from onward.stages.validate.split import Split, reasons

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

REPLAY: Final = "replay"
"""The entry of a quarantine's snapshot that tells of the replay which it ends."""

ID: Final = "_quarantine_id"
OWN: Final = (
    UNREADABLE, "_reasons", "_rules", SOURCE, "_run", "_quarantined_at",
    ID, "_row_version", "_judged_by", "_judged_at", "_mended", "_released_by",
)  # fmt: skip
"""The columns that a quarantine has besides its table's."""

_TIME: Final = "timestamp('UTC', 6)"
_STATE: Final = "quarantine"
_EVOLUTION: Final = "evolution"


def table_of(table: str) -> str:
    """Return the name of a table's quarantine."""
    return "quarantine." + table.replace(".", "_")


def stage(batch: Batch, split: Split, rules: Sequence[Rule], *, lake: Lake, at: datetime) -> None:
    """Write the offenders on a branch of the batch's quarantine, for `settle` to publish.

    Their columns are those of the batch, then

    - `_unreadable`: the text of values that could not be read,
    - `_reasons`, `_rules`: the names and versions of the rules broken,
    - `_source`: the file that the row came from and its number there, where it came from a file,
    - `_run`, `_quarantined_at`: the run that quarantined the row, and when,
    - `_quarantine_id`, `_row_version`: the row's id, and which version of it this is, from 1,
    - `_judged_by`, `_judged_at`: the run or replay that judged this version, and when,
    - `_mended`: the columns whose values were corrected,
    - `_released_by`: the replay that published the row, NULL while it waits.
    """
    import ibis

    name = table_of(batch.table)
    names, versions = reasons(split, rules)
    found = located(split.offenders.mutate(_reasons=names, _rules=versions), batch)
    unreadable = found[UNREADABLE] if UNREADABLE in found.columns else ibis.null("string")
    columns = {column: found[column] for column in split.good.columns}
    begins = fingerprint.of_text(batch.table, batch.summary["key"])[:8]
    rows = found.select(
        **fitted(columns, lake.schema(name), batch.evolution),
        **{UNREADABLE: unreadable},
        _reasons=found["_reasons"],
        _rules=found["_rules"],
        _source=found[SOURCE],
        _run=ibis.literal(batch.run, "string"),
        _quarantined_at=ibis.literal(at, ibis.dtype(_TIME)),
        _quarantine_id=ibis.literal(f"{begins}-") + (ibis.row_number() + 1).cast("string"),
        _row_version=ibis.literal(1, "int64"),
        _judged_by=ibis.literal(batch.run, "string"),
        _judged_at=ibis.literal(at, ibis.dtype(_TIME)),
        _mended=ibis.literal([], "array<string>"),
        _released_by=ibis.null("string"),
    )
    lake.stage(
        name,
        rows.to_pyarrow_batches(),
        branch=batch.branch,
        mode="append",
        summary={"batch": batch.summary["key"], "run": batch.run, **_evolving(batch)},
        evolution=batch.evolution,
    )


def newest(versions: ir.Table) -> ir.Table:
    """Return the newest version of each row of a quarantine."""
    import ibis

    of_each = ibis.window(group_by=ID, order_by=ibis.desc("_row_version"))
    ranked = versions.mutate(_rank=ibis.row_number().over(of_each))
    return ranked.filter(ranked["_rank"] == 0).drop("_rank")


def waiting(versions: ir.Table) -> ir.Table:
    """Return the rows of a quarantine that were not released, each as it stands now."""
    rows = newest(versions)
    return rows.filter(rows["_released_by"].isnull())


def standing(table: str, *, lake: Lake) -> tuple[str, ...] | None:
    """Return the runs whose offenders still stand for rows that a table lacks; None for all.

    A table that is built afresh leaves those of earlier builds behind: their rows were judged
    again with the rest.
    """
    runs: list[str] = []
    for snapshot in reversed(lake.history(table)):
        if "key" in snapshot.summary:
            runs.append(snapshot.summary["key"].partition("@")[0])
        if snapshot.change == "replace":
            return tuple(runs)
    return None


def entry(branch: str, key: str) -> Mapping[str, str]:
    """Return what a table's state says of the quarantine's branch that its newest batch left."""
    return {_STATE: json.dumps({"branch": branch, "key": key})}


def published_under(key: str, *, table: str, lake: Lake) -> DatasetRef | None:
    """Return the snapshot of a table that was published under `key`, if there is one."""
    newest_first = reversed(lake.history(table))
    found: Snapshot | None = next((s for s in newest_first if s.summary.get("key") == key), None)
    return DatasetRef(table=table, snapshot=found.id, rows=found.rows) if found else None


def settle(table: str, *, lake: Lake) -> None:
    """Publish what the newest published batch left on its quarantine's branch, unless it was done.

    Offenders become visible after the rows they came with, never without them: a run that dies
    before it publishes leaves nothing in the quarantine, and one that dies between the two is
    settled when it resumes, or by the next audit of the table. The same holds for a replay: rows
    are marked as released after they are published, and never without that.
    """
    import msgspec

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
    about = {name: staged.summary[name] for name in ("run", REPLAY) if name in staged.summary}
    changes = staged.summary.get(_EVOLUTION)
    evolution = msgspec.json.decode(changes, type=Evolution) if changes else None
    rows = Staged(batch=offenders)
    lake.append(name, rows, key=last["key"], summary=about, evolution=evolution)
    lake.drop_branch(name, branch)


def fitted(
    columns: dict[str, ir.Value],
    published: pa.Schema | None,
    evolution: Evolution | None = None,
) -> dict[str, ir.Value]:
    """Return the columns as the quarantine can take them.

    It follows what a source's columns become by `evolution`. A derived table may lose a column or
    change its type; its quarantine keeps what it has. A column of another type gets that type's
    name behind its own.
    """
    import ibis

    if published is None:
        return columns
    kept = _evolved(dict(ibis.schema(published).items()), columns, evolution or Evolution())
    fitted: dict[str, ir.Value] = {
        name: ibis.null(kind) for name, kind in kept.items() if name not in OWN
    }
    for name, column in columns.items():
        same = name not in kept or column.type().copy(nullable=True) == kept[name]
        fitted[name if same else f"{name}__{_word(column)}"] = column
    return fitted


def _evolved(
    kept: dict[str, Any], columns: dict[str, ir.Value], evolution: Evolution
) -> dict[str, Any]:
    """Return the types of the quarantine's columns by the names, and as, they are from now on."""
    new = {o: n for n, o in evolution.renamed.items() if o in kept and n not in kept}
    named = {new.get(name, name): kind for name, kind in kept.items()}
    retyped = {n: columns[n].type().copy(nullable=True) for n in evolution.retyped if n in named}
    return {**named, **retyped}


def _evolving(batch: Batch) -> dict[str, str]:
    """Return what `settle` must know of how the columns change."""
    import msgspec

    if batch.evolution is None:
        return {}
    return {_EVOLUTION: msgspec.json.encode(batch.evolution).decode()}


def _word(column: ir.Value) -> str:
    return type(column.type()).__name__.lower()
