"""Replay: judge quarantined rows again, after a rule, a value or what they refer to was mended."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core import fingerprint, upserts
from onward.core.clock import Clock
from onward.core.declarations import Check
from onward.core.errors import DivergedError
from onward.core.ports import Lake
from onward.core.records import UNREADABLE, Baseline, Batch, DatasetRef, Replay, Selection
from onward.stages.validate.opened import BATCH, Opened, datasets
from onward.stages.validate.quarantine.mending import CHANGED
from onward.stages.validate.quarantine.replayed_rows import QUARANTINE, to_judge
from onward.stages.validate.quarantine.table import (
    OWN,
    REPLAY,
    entry,
    fitted,
    published_under,
    settle,
    table_of,
)
from onward.stages.validate.results import results
from onward.stages.validate.rules.bind import bind
from onward.stages.validate.rules.rule import RowRule
from onward.stages.validate.split import Split, reasons, split, two_answers

if TYPE_CHECKING:
    import ibis.expr.types as ir

_ATTEMPTS: Final = 20


def replay(
    dataset: str,
    table: str,
    checks: Sequence[Check],
    *,
    lake: Lake,
    clock: Clock,
    run: str,
    required: Sequence[str] = (),
    selection: Selection | None = None,
    mended: Path | None = None,
    masked: Collection[str] = (),
    baseline: Baseline | None = None,
    by: str = "",
) -> Replay:
    """Judge the rows that wait in a table's quarantine by its row rules of today.

    Those that pass are published in one commit and then marked as released by `run`; those that
    fail stay, with their new reasons. Repeating it after a crash, or in another process at the
    same time, publishes no row twice. Batch rules are not asked: the batch that the rows came with
    has passed them.

    Parameters
    ----------
    required
        Columns in which NULL is an offence: the key and the times.
    selection
        Which rows are meant; all that wait unless given.
    mended
        A file of corrected rows, by their quarantine id: only these are judged, with its values.
    masked
        Columns whose values a file may not change.
    baseline
        The other tables that checks hold the rows against, as they are now.
    by
        Who asks for it.

    Raises
    ------
    DeclarationError
        A check, or the selection's condition, does not fit the columns.
    DataError
        The mended file is at fault, or a rule fails on a value.
    DivergedError
        Other writers kept publishing meanwhile.
    """
    asked = _Asked(
        dataset=dataset,
        table=table,
        checks=tuple(_parting(check) for check in checks if check.scope != "batch"),
        run=run,
        required=tuple(required),
        selection=selection or Selection(),
        mended=mended,
        masked=tuple(masked),
        baseline=baseline or Baseline(at=clock.now()),
        by=by,
    )
    for attempt in range(_ATTEMPTS):
        try:
            return _once(asked, lake, clock)
        except DivergedError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def replays(table: str, *, lake: Lake, known: Collection[str] = ()) -> Iterator[Replay]:
    """Yield every replay of a table that had an effect, oldest first, as the lake tells of them.

    Those whose runs are `known` are left out.
    """
    import msgspec

    name = table_of(table)
    for snapshot in lake.history(name):
        told = snapshot.summary
        if {REPLAY, "key"} <= told.keys() and told["run"] not in known:
            yield _landed(msgspec.json.decode(told[REPLAY], type=Replay), told["key"], lake)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a replay was asked for."""

    dataset: str
    table: str
    checks: tuple[Check, ...]
    run: str
    required: tuple[str, ...]
    selection: Selection
    mended: Path | None
    masked: tuple[str, ...]
    baseline: Baseline
    by: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The other tables that the rows are held against, as refs."""
        return tuple(sorted(other.ref for other in self.baseline.datasets.values()))

    def effect(self, base: int | None, read: DatasetRef, rules: Sequence[RowRule]) -> str:
        """Return the name of what comes of it: the same for the same rows, rules and tables."""
        versions = [rule.version for rule in rules]
        asked = (self.selection, _digest(self.mended), *versions, *self.inputs)
        return f"replay-{fingerprint.of_text(self.table, base, read.snapshot, *asked)}"


def _once(asked: _Asked, lake: Lake, clock: Clock) -> Replay:
    # The base first: a replay that publishes after this is seen as a divergence, one that
    # published before it is settled here, so that no row is read as waiting that is not.
    head = lake.head(asked.table)
    base = head.id if head else None
    settle(asked.table, lake=lake)
    read = lake.dataset(table_of(asked.table))
    merged, order = (upserts.told(head.state) if head else None) or ((), None)
    batch = Batch(
        dataset=asked.dataset, table=asked.table, branch="", run=asked.run,
        mode="upsert" if merged else "append", rows=read.rows, base=base, snapshot=read.snapshot,
        key=merged, order=order,
    )  # fmt: skip
    opened = {**datasets(batch, asked.checks, asked.baseline), QUARANTINE: read}
    del opened[BATCH]  # the rows to judge become that, below
    with lake.open(opened) as connection:
        rows, earlier = to_judge(
            connection, asked.table, lake, asked.selection, asked.mended, asked.masked
        )
        seen = Opened(connection=connection, table=rows, batch=batch, baseline=asked.baseline)
        seen, bound = bind(asked.checks, seen, asked.required)
        rules = [r for r in bound if isinstance(r, RowRule) and r.severity == "quarantine"]
        parted = split(connection, seen.table, rules)
        good = connection.create_table("_passed", parted.good, temp=True)
        total, passed = _count(rows), _count(good)
        if passed + parted.total != total:
            raise two_answers(asked.dataset, offend=parted.total, passed=passed, rows=total)
        report = Replay(
            dataset=asked.dataset,
            table=asked.table,
            run=asked.run,
            rows=total,
            released=passed,
            kept=parted.total,
            mended=_count(rows.filter(rows[CHANGED].length() > 0)),
            released_before=earlier,
            rules=results(rules, parted.counts, {}, total),
            read=read,
            base=base,
            by=asked.by,
            inputs=asked.inputs,
        )
        versions = _versions(report, good, parted, rules, clock, lake)
        effect = asked.effect(base, read, rules)
        _commit(report, batch, good, versions, effect, lake)
    return _landed(report, _key(report, effect), lake)


def _commit(
    report: Replay, batch: Batch, good: ir.Table, versions: ir.Table, effect: str, lake: Lake
) -> None:
    """Publish the rows that passed, then the new versions of all that changed.

    The versions are on their branch before the rows are published: whoever is killed between the
    two leaves what `settle` needs.
    """
    key, name = _key(report, effect), table_of(report.table)
    told = {"run": report.run, REPLAY: json.dumps(dataclasses.asdict(report))}
    if not report.released:
        if _count(versions):
            lake.append(name, versions.to_pyarrow_batches(), key=key, summary=told)
        return
    published = lake.schema(report.table)
    assert published is not None
    branch = f"audit-{effect}"
    lake.stage(
        report.table,
        good.select(published.names).to_pyarrow_batches(),
        branch=branch,
        mode=batch.mode,
        summary={"key": key, "run": report.run},
        state=entry(branch, key),
        key=batch.key,
        order=batch.order,
    )
    lake.stage(
        name,
        versions.to_pyarrow_batches(),
        branch=branch,
        mode="append",
        summary={"batch": key, **told},
    )
    lake.publish(report.table, branch, expect=report.base, key=key)
    settle(report.table, lake=lake)


def _key(report: Replay, effect: str) -> str:
    return f"{effect}@{report.base}"


def _landed(report: Replay, key: str, lake: Lake) -> Replay:
    return dataclasses.replace(
        report,
        published=published_under(key, table=report.table, lake=lake) if report.released else None,
        quarantine=published_under(key, table=table_of(report.table), lake=lake),
    )


def _versions(
    report: Replay,
    good: ir.Table,
    parted: Split,
    rules: Sequence[RowRule],
    clock: Clock,
    lake: Lake,
) -> ir.Table:
    """Return a further version of each row that was released or that fails for other reasons."""
    import ibis

    published = lake.schema(report.table)
    assert published is not None
    names, digests = reasons(parted, rules)
    judged = parted.offenders.mutate(_now=names, _now_rules=digests)
    kept = judged.filter(
        (judged[CHANGED].length() > 0)
        | (judged["_reasons"] != judged["_now"])
        | (judged["_rules"] != judged["_now_rules"])
    )
    held, now = lake.schema(table_of(report.table)), clock.now()

    def further(rows: ir.Table, **changed: Any) -> ir.Table:
        data = {c: rows[c] for c in rows.columns if c in published.names}
        own = {name: rows[name] for name in OWN if name in rows.columns} | changed
        own["_row_version"] = rows["_row_version"] + 1
        own["_judged_by"] = ibis.literal(report.run, "string")
        own["_judged_at"] = ibis.literal(now, ibis.dtype("timestamp('UTC', 6)"))
        return rows.select(**fitted(data, held), **{name: own[name] for name in OWN})

    return further(kept, _reasons=kept["_now"], _rules=kept["_now_rules"]).union(
        further(
            good,
            _released_by=ibis.literal(report.run, "string"),
            **{UNREADABLE: ibis.null("string")},
        )
    )


def _parting(check: Check) -> Check:
    """Return `check` so that a row which would hold a batch back stays in quarantine."""
    holding = check.scope == "row" and check.severity == "hold"
    return dataclasses.replace(check, severity="quarantine") if holding else check


def _count(rows: ir.Table) -> int:
    return int(rows.count().to_pyarrow().as_py())


def _digest(file: Path | None) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
