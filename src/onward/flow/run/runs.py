"""Runs as the ledger tells them: which began, how they ended, and whether one is called for."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from onward.core.events import Recorded
from onward.core.ports import Ledger
from onward.core.records import RunRequest
from onward.flow.data.quarantine import released
from onward.flow.happened import fact
from onward.flow.pipeline.definition import Definition
from onward.flow.site import Site
from onward.stages.ingest.step import pending

FRUITLESS: Final = ("failed", "cancelled")
"""How runs end that another try may do better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One run: `state` is None while it is under way, or was cut short."""

    id: str
    request: RunRequest
    digest: str
    commit: str | None
    started_at: datetime
    ended_at: datetime | None
    state: str | None
    reason: str
    model: str | None
    seconds: float | None


def request(
    site: Site,
    reason: str,
    trigger: Literal["request", "commit", "data", "breach", "schedule"] = "request",
    *,
    train: bool = True,
) -> RunRequest:
    """Make a request for a run, with an id that sorts by time."""
    now = site.clock.now()
    return RunRequest(
        id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        reason=reason,
        trigger=trigger,
        requested_at=now,
        train=train,
    )


def runs(ledger: Ledger, *, limit: int | None = None) -> Sequence[RunEntry]:
    """Return runs, newest first."""
    ended = {told.event.key: told for told in ledger.events(kind="run.finished")}
    begun = ledger.events(kind="run.started", newest_first=True, limit=limit)
    return [_entry(told, ended.get(told.event.key)) for told in begun]


def run(ledger: Ledger, id: str) -> RunEntry | None:
    """Return one run; None if it has not begun."""
    begun = ledger.events(kind="run.started", run=id, limit=1)
    ended = ledger.events(kind="run.finished", run=id, limit=1)
    return _entry(begun[0], ended[0] if ended else None) if begun else None


def _entry(begun: Recorded, ended: Recorded | None) -> RunEntry:
    event, end = begun.event, ended.event if ended else None
    return RunEntry(
        id=event.key,
        request=fact(begun, "request", RunRequest),
        digest=event.facts["digest"],
        commit=event.facts["commit"],
        started_at=event.at,
        ended_at=end.at if end else None,
        state=end.facts["state"] if end else None,
        reason=end.facts["reason"] if end else "",
        model=end.facts["model"] if end else None,
        seconds=end.facts["seconds"] if end else None,
    )


def unfinished(ledger: Ledger) -> Sequence[RunEntry]:
    """Return the runs that began and did not end, oldest first."""
    return [run for run in reversed(runs(ledger)) if run.state is None]


def new_data(site: Site, definition: Definition) -> Sequence[str]:
    """Return the sources that have rows which were not taken in yet."""
    return [
        source.name
        for source in definition.sources.values()
        if pending(source, reader=site.reader(source), lake=site.lake)
    ]


def taken_in(
    ledger: Ledger, definition: Definition, *, after: int, besides: str | None
) -> Sequence[str]:
    """Return the declared tables that got a batch after the event `after`, `besides` that run's.

    Tables that nothing declares, scores for one, are not what a model is built on.
    """
    declared = {source.table for source in definition.sources.values()}
    declared |= {transform.table for transform in definition.transforms}
    audits = ledger.events(kind="batch.audited", after=after)
    tables = {told.event.subject for told in audits if told.event.run != besides}
    return sorted(tables & declared)


def last_trained(ledger: Ledger) -> RunEntry | None:
    """Return the last run that was to train and has ended, however it did."""
    for told in ledger.events(kind="run.finished", newest_first=True):
        if told.event.facts["trains"]:
            return run(ledger, told.event.key)
    return None


def changed(ledger: Ledger, definition: Definition) -> bool:
    """Whether the pipeline is another one than the last run was to train with."""
    last = last_trained(ledger)
    return last is not None and last.digest != definition.digest


def called_for(site: Site, definition: Definition) -> str | None:
    """Return why a run with training would do something, or None where nothing is new."""
    last = last_trained(site.ledger)
    if last is None:
        return "nothing was trained yet"
    if last.state in FRUITLESS:
        return f"the last run {'failed' if last.state == 'failed' else 'was cancelled'}"
    return news_since(site, definition, last)


def news_since(site: Site, definition: Definition, last: RunEntry) -> str | None:
    """Return what a run with training would find that was not there in `last`, or None."""
    if last.digest != definition.digest:
        return "the pipeline changed"
    waiting = new_data(site, definition)
    if waiting:
        return f"new data in {', '.join(waiting)}"
    began = next(told.seq for told in site.ledger.events(kind="run.started", run=last.id))
    if taken_in(site.ledger, definition, after=began, besides=last.id):
        return "data came in since the last training"
    let_out = released(site.ledger, after=began)
    if let_out:
        return f"rows of {', '.join(let_out)} were released from quarantine"
    model = definition.pipeline.model
    searched = site.ledger.events(kind="candidate.chosen", subject=model.name, after=began)
    if any(told.event.facts["code"] == model.version for told in searched):
        return "a search chose its parameters"
    return None
