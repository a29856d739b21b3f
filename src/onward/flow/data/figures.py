"""Each table's figures over time (freshness, errors, rows, time, cost), folded from the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, Literal

from onward.core.events import Recorded
from onward.core.ports import Ledger
from onward.core.records import ValidationReport
from onward.core.refs import parse_ref
from onward.flow.data.quarantine import REPLAYED
from onward.flow.happened import fact
from onward.flow.pipeline.definition import Definition
from onward.flow.site import Site
from onward.stages.validate.quarantine.table import standing

PERIODS: Final = 30
Kind = Literal["source", "transform", "features"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of one table's data in a span of time.

    `rows_in` came, of which `quarantined` failed their audit: `error_rate` is the share, None
    where nothing was audited. `released` rows came back out of quarantine. `batches` were audited,
    and `held` of them kept back. `seconds` is the wall time of its stages, `cost` that time at the
    declared rate; ``measured`` where every stage told its time, else ``estimated`` from those
    that did, by rows. `age` is how old the newest row was at the end (of a table without an event
    time, its newest publication), in seconds.
    """

    rows_in: int = 0
    quarantined: int = 0
    released: int = 0
    batches: int = 0
    held: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    basis: Literal["measured", "estimated"] = "measured"
    error_rate: float | None = None
    age: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFigures:
    """A table as it stands, its figures in the span asked for, and period by period.

    `rows` are published, `waiting` in quarantine. `periods` are equally long, the oldest first;
    empty where no span was asked for.
    """

    name: str
    table: str
    kind: Kind
    rows: int
    waiting: int
    published_at: datetime | None
    total: Figures
    periods: tuple[Figures, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """One thing that was done to a table: what an event adds to the figures."""

    at: datetime
    kind: str
    rows: int
    seconds: float | None
    report: ValidationReport | None = None
    released: int = 0
    newest: datetime | None = None
    published: bool = False


def figures(
    site: Site, definition: Definition, *, since: timedelta | None = None, per_hour: float = 0.0
) -> Sequence[TableFigures]:
    """Return the figures of every source, transform and feature view, in this order.

    `since` is how far back they go, all the way unless given; `per_hour` what an hour costs.
    """
    now = site.clock.now()
    found = []
    for name, table, kind, done in _tables(site.ledger, definition):
        published = [one.at for one in done if one.published]
        runs = standing(table, lake=site.lake)
        standing_now = [one.report for one in done if one.report]
        if runs is not None:
            standing_now = [report for report in standing_now if report.run in runs]
        quarantined = sum(report.rows_quarantined for report in standing_now)
        head = site.lake.head(table)
        filled = _estimated(done)
        periods = [] if since is None else [
            now - since + i * (since / PERIODS) for i in range(PERIODS + 1)
        ]  # fmt: skip
        begin = periods[0] if periods else None
        found.append(
            TableFigures(
                name=name,
                table=table,
                kind=kind,
                rows=head.rows if head else 0,
                waiting=quarantined - sum(one.released for one in done),
                published_at=max(published, default=None),
                total=_figures(filled, begin, now, per_hour, last=True),
                periods=tuple(
                    _figures(filled, start, end, per_hour, last=end == now)
                    for start, end in pairwise(periods)
                ),
            )
        )
    return found


def _tables(
    ledger: Ledger, definition: Definition
) -> Iterator[tuple[str, str, Kind, Sequence[_Done]]]:
    for source in definition.sources.values():
        yield source.name, source.table, "source", _done(ledger, source.table, source.event_time)
    for transform in definition.transforms:
        yield transform.name, transform.table, "transform", _done(ledger, transform.table, None)
    for view in definition.views:
        told = [
            t for t in ledger.events(kind="features.published")
            if parse_ref(t.event.subject).name == view.name
        ]  # fmt: skip
        tables = [parse_ref(r).name for t in told for r in t.event.outputs if r.startswith("snap")]
        if tables:
            yield view.name, tables[-1], "features", [_plain(t, published=True) for t in told]


def _done(ledger: Ledger, table: str, event_time: str | None) -> Sequence[_Done]:
    found = [
        _plain(told)
        for kind in ("batch.ingested", "table.built")
        for told in ledger.events(kind=kind, subject=table)
    ]
    for told in ledger.events(kind="batch.audited", subject=table):
        report = fact(told, "report", ValidationReport)
        found.append(
            replace(
                _plain(told, rows=report.rows_in),
                report=report,
                newest=_newest(report, event_time),
                published=report.published is not None,
            )
        )
    for told in ledger.events(kind=REPLAYED, subject=table):
        report = told.event.facts["report"]
        one = _plain(told, rows=report["rows"], published=report["released"] > 0)
        found.append(replace(one, released=report["released"]))
    return sorted(found, key=lambda one: one.at)


def _plain(told: Recorded, *, rows: int | None = None, published: bool = False) -> _Done:
    facts: Mapping[str, Any] = told.event.facts
    return _Done(
        at=told.event.at,
        kind=told.event.kind,
        rows=facts["rows"] if rows is None else rows,
        seconds=facts.get("seconds"),
        published=published,
    )


def _newest(report: ValidationReport, event_time: str | None) -> datetime | None:
    """Return the time of a published batch's newest row, as its profile has it."""
    if report.published is None or event_time is None:
        return None
    text = report.profile["columns"].get(event_time, {}).get("max")
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _estimated(done: Sequence[_Done]) -> Sequence[tuple[_Done, float]]:
    """Return what was done with its seconds: of its own, or as the same work took by the row."""
    known: dict[str, tuple[int, float]] = {}
    for one in done:
        if one.seconds is not None:
            rows, seconds = known.get(one.kind, (0, 0.0))
            known[one.kind] = (rows + max(1, one.rows), seconds + one.seconds)
    found = []
    for one in done:
        rows, seconds = known.get(one.kind, (1, 0.0))
        found.append((one, one.seconds if one.seconds is not None else one.rows * seconds / rows))
    return found


def _figures(
    done: Sequence[tuple[_Done, float]],
    start: datetime | None,
    end: datetime,
    per_hour: float,
    *,
    last: bool,
) -> Figures:
    """Fold what was done from `start` to before `end`, or up to it in the `last` period."""
    before = [(one, s) for one, s in done if one.at < end or (last and one.at == end)]
    inside = [(one, s) for one, s in before if start is None or one.at >= start]
    audits = [one.report for one, _ in inside if one.report is not None]
    added = [one.rows for one, _ in inside if one.kind == "features.published"]
    seconds = sum(s for _, s in inside)
    newest = max((one.newest for one, _ in before if one.newest is not None), default=None)
    if newest is None:
        newest = max((one.at for one, _ in before if one.published), default=None)
    audited, quarantined = (sum(r.rows_in for r in audits), sum(r.rows_quarantined for r in audits))
    return Figures(
        rows_in=audited + sum(added),
        quarantined=quarantined,
        error_rate=quarantined / audited if audited else None,
        released=sum(one.released for one, _ in inside),
        batches=len(audits),
        held=sum(r.held for r in audits),
        seconds=seconds,
        cost=seconds / 3600 * per_hour,
        basis="estimated" if any(one.seconds is None for one, _ in inside) else "measured",
        age=None if newest is None else (end - newest).total_seconds(),
    )
