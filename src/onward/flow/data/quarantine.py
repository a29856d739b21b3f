"""Releasing from quarantine: replay a source's rows, and tell the ledger what came of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from onward.core.errors import DeclarationError, NotFoundError, unknown_name
from onward.core.ports import Ledger
from onward.core.records import Baseline, Replay, Selection
from onward.core.refs import ref
from onward.flow.data.audits import beside
from onward.flow.happened import fact, happened, timed
from onward.flow.pipeline.definition import Definition
from onward.flow.site import Site
from onward.stages.ingest.config import Source
from onward.stages.validate.quarantine import replay as stage
from onward.stages.validate.quarantine.selection import require_held
from onward.stages.validate.quarantine.table import table_of
from onward.stages.validate.step import settle

REPLAYED = "quarantine.replayed"


def replay(
    site: Site,
    definition: Definition,
    dataset: str | None = None,
    *,
    selection: Selection | None = None,
    mended: Path | None = None,
    by: str = "",
) -> Sequence[Replay]:
    """Judge the quarantined rows of a source, or of all sources, again; publish those that pass.

    `mended` is a file of corrected rows, which alone are judged. No lock is needed: a run or
    another replay that publishes at the same time is waited out.

    Raises
    ------
    NotFoundError
        There is no such source, or nothing of it is in quarantine.
    DeclarationError
        It is a transform, whose rows are judged again whenever it is built.
    """
    sources = [source(definition, dataset)] if dataset else definition.sources.values()
    held = [s for s in sources if site.lake.head(table_of(s.table)) is not None]
    if dataset and not held:
        raise NotFoundError(
            f"nothing of {dataset!r} is in quarantine", next_step="`onward quarantine` lists all"
        )
    if mended is not None and len(held) > 1:
        raise DeclarationError(
            f"{mended} holds rows of one dataset, and {len(held)} have rows in quarantine",
            expected=f"the dataset's name: {', '.join(s.name for s in held)}",
        )
    require_held([s.table for s in held], selection or Selection(), lake=site.lake)
    now = site.clock.now()
    run = f"replay-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    found = []
    for one in held:
        report, seconds = timed(
            stage.replay,
            one.name,
            one.table,
            one.checks,
            lake=site.lake,
            clock=site.clock,
            run=run,
            required=tuple(dict.fromkeys((*one.key, one.event_time, one.available_at))),
            selection=selection,
            mended=mended,
            by=by,
            masked=tuple(one.masked),
            baseline=Baseline(at=now, datasets=beside(site, definition, one.name, one.checks)),
        )
        found.append(report)
        tell_replays(site, one.table, {run: seconds})
    return found


def source(definition: Definition, name: str) -> Source:
    """Return a source by name.

    Raises
    ------
    NotFoundError
        Nothing has this name.
    DeclarationError
        It is a transform.
    """
    if name in definition.sources:
        return definition.sources[name]
    derived = next((t for t in definition.transforms if t.name == name), None)
    if derived is None:
        what, expected = unknown_name("source", name, definition.sources)
        raise NotFoundError(what, expected=expected)
    raise DeclarationError(
        f"{name!r} is derived: its rows cannot be released one by one",
        expected=f"a source: {', '.join(definition.sources)}",
        next_step="mend its checks or what it reads; `onward run` builds and judges it afresh",
        location=derived.location,
    )


def settled(site: Site, table: str) -> None:
    """Finish what a process that was killed left of a table's quarantine, and tell of it."""
    settle(table, lake=site.lake)
    tell_replays(site, table)


def tell_replays(site: Site, table: str, took: Mapping[str, float] | None = None) -> None:
    """Tell the ledger of every replay that the lake holds, each once.

    The lake knows them all, so one that was killed before it could tell is told by the next.
    `took` are the seconds of those that are known, by the replay's id.
    """
    known = {told.event.run or "" for told in site.ledger.events(kind=REPLAYED, subject=table)}
    for report in stage.replays(table, lake=site.lake, known=known):
        before = () if report.base is None else (ref("snapshot", table, report.base),)
        after = [d.ref for d in (report.published, report.quarantine) if d is not None]
        happened(
            site,
            REPLAYED,
            table,
            key=f"{report.run}/{table}",
            run=report.run,
            inputs=(report.read.ref, *(before if report.published else ()), *report.inputs),
            outputs=after,
            report=report,
            seconds=(took or {}).get(report.run),
        )


def released(ledger: Ledger, *, after: int) -> Sequence[str]:
    """Return the tables into which a replay published rows after the event `after`."""
    told = ledger.events(kind=REPLAYED, after=after)
    return sorted({t.event.subject for t in told if fact(t, "report", Replay).released})
