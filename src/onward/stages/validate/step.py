"""Audit a batch: quarantine its offenders, publish the rest, or hold it back."""

from __future__ import annotations

from onward.core.clock import Clock
from onward.core.declarations import Check
from onward.core.errors import DivergedError
from onward.core.ports import Lake, Snapshot, Staged
from onward.core.records import Baseline, Batch, DatasetRef, ValidationReport
from onward.stages.validate.opened import BATCH, Opened, datasets, leave_out
from onward.stages.validate.profile import profile
from onward.stages.validate.quarantine import table as quarantine
from onward.stages.validate.quarantine.table import settle
from onward.stages.validate.results import results
from onward.stages.validate.rules.bind import bind
from onward.stages.validate.split import Split, offending, split, verdicts

__all__ = ["audit", "settle"]


def audit(
    batch: Batch,
    checks: tuple[Check, ...],
    *,
    lake: Lake,
    clock: Clock,
    required: tuple[str, ...] = (),
    baseline: Baseline | None = None,
    personal: tuple[str, ...] = (),
) -> ValidationReport:
    """Evaluate every rule on `batch`, then publish it without its offenders, or hold it.

    Repeating it after a crash gives the same report and changes nothing twice.

    Parameters
    ----------
    required
        Columns in which NULL is an offence: the key and the times.
    baseline
        What checks hold the batch against besides itself; the present moment unless given.
    personal
        Columns that say whom a row is about: the report, which outlives the rows, has no value
        of them.

    Raises
    ------
    DeclarationError
        A check does not fit the batch's columns or its scope.
    DataError
        A rule fails on a value, or answers differently when asked twice; a check reads a dataset
        that is not in the baseline.
    DivergedError
        Main moved on since the branch was cut: ingest again.
    """
    settle(batch.table, lake=lake)
    published = _published(batch, lake)
    if published is None:
        _require_main(batch, lake)
    baseline = baseline or Baseline(at=clock.now())
    with lake.open(datasets(batch, checks, baseline), numbered=BATCH) as connection:
        leave_out(connection, batch)
        table = connection.table(BATCH)
        seen = Opened(connection=connection, table=table, batch=batch, baseline=baseline)
        seen, rules = bind(checks, seen, required)
        whole = verdicts(seen.table, rules)
        parted = split(connection, seen.table, rules)
        held = any(r.severity == "hold" and not whole[r.name].passed for r in rules)
        facts = profile(connection.con, BATCH, seen.columns, personal=personal)
        if published is None and not held:
            if parted.total or batch.mode in ("upsert", "partitions"):
                _stage_again(batch, parted, lake)
            if parted.total:
                quarantine.stage(batch, parted, rules, lake=lake, at=clock.now())
            published = lake.publish(
                batch.table, batch.branch, expect=batch.base, key=batch.summary["key"]
            )
            settle(batch.table, lake=lake)
    if published is None:
        lake.drop_branch(batch.table, batch.branch)
    return ValidationReport(
        batch=batch.ref,
        dataset=batch.dataset,
        run=batch.run,
        held=held,
        rows_in=batch.rows,
        rows_published=0 if held else batch.rows - parted.total,
        rows_quarantined=0 if held else parted.total,
        rules=results(rules, parted.counts, whole, batch.rows),
        profile=facts,
        published=DatasetRef(table=batch.table, snapshot=published.id, rows=published.rows)
        if published
        else None,
        quarantine=quarantine.published_under(
            batch.summary["key"], table=quarantine.table_of(batch.table), lake=lake
        ),
        inputs=tuple(sorted(read.ref for read in baseline.datasets.values())),
    )


def _published(batch: Batch, lake: Lake) -> Snapshot | None:
    """Return the snapshot that an earlier attempt published, known by the batch's key."""
    newest_first = reversed(lake.history(batch.table))
    return next((s for s in newest_first if s.summary.get("key") == batch.summary["key"]), None)


def _require_main(batch: Batch, lake: Lake) -> None:
    """Refuse a batch whose table has other rows by now than when its branch was cut."""
    head = lake.head(batch.table)
    if (head and head.id) == batch.base:
        return
    since = lake.added(batch.table, after=batch.base, upto=head.id) if head else None
    if since is None or since.rows:
        raise DivergedError(
            f"{batch.table} moved on since {batch.branch} was cut from it",
            expected=f"main at snapshot {batch.base}, found {head.id if head else None}",
            next_step="run again: the rows are staged and audited on the new main",
        )


def _stage_again(batch: Batch, parted: Split, lake: Lake) -> None:
    """Put the good rows alone on the branch; an upsert, or partitions, merge into main's."""
    entry = quarantine.entry(batch.branch, batch.summary["key"])
    lake.stage(
        batch.table,
        Staged(batch=batch, columns=parted.good.columns, without=offending(parted)),
        branch=batch.branch,
        mode=batch.mode,
        summary=batch.summary,
        state={**batch.state, **(entry if parted.total else {})},
        key=batch.key,
        order=batch.order,
        partitions=batch.partitions,
        evolution=batch.evolution,
    )
