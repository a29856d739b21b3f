"""Requests: the runs that other processes ask for, and which run serves each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onward.core.ports import Ledger
from onward.core.records import RunRequest
from onward.flow.happened import fact, happened
from onward.flow.outcome import RunOutcome
from onward.flow.pipeline.definition import Definition
from onward.flow.run.runs import FRUITLESS, RunEntry, last_trained, news_since, run
from onward.flow.site import Site


def ask(site: Site, model: str, wish: RunRequest) -> None:
    """Ask whoever keeps the project up for a run."""
    happened(site, "run.requested", model, key=wish.id, request=wish)


def waiting(ledger: Ledger) -> Sequence[RunRequest]:
    """Return the requests that no run serves yet and nobody cancelled, oldest first."""
    served = {told.event.key for kind in _SERVED for told in ledger.events(kind=kind)}
    return [
        fact(told, "request", RunRequest)
        for told in ledger.events(kind="run.requested")
        if told.event.key not in served
    ]


_SERVED = ("run.started", "run.joined", "run.cancelled")


def serving(ledger: Ledger, wish: RunRequest) -> RunEntry | None:
    """Return the run that serves a request: one of its own, or one that did the same; None yet."""
    joined = ledger.events(kind="run.joined", subject=wish.id, limit=1)
    return run(ledger, joined[0].event.run or wish.id if joined else wish.id)


def take_up(
    site: Site,
    definition: Definition,
    wishes: Sequence[RunRequest],
    deliver: Callable[[RunRequest], RunOutcome],
) -> Sequence[RunOutcome]:
    """Do what was asked for; where a run did the same already, let it serve the request too.

    Somebody changes the pipeline and asks for a run at once: the change itself called for one.
    """
    outcomes = []
    for wish in wishes:
        same = _did_the_same(site, definition, wish)
        if same is None:
            outcomes.append(deliver(wish))
        else:
            happened(site, "run.joined", wish.id, key=wish.id, run=same.id)
    return outcomes


def _did_the_same(site: Site, definition: Definition, wish: RunRequest) -> RunEntry | None:
    """Return the last run with training, if the request would find nothing that it did not.

    One that failed, or was cancelled, may fare better the next time: it serves who asked while it
    was under way.
    """
    last = last_trained(site.ledger) if wish.train and not wish.afresh else None
    if last is None or last.ended_at is None:
        return None
    if last.state in FRUITLESS and last.ended_at < wish.requested_at:
        return None
    return last if news_since(site, definition, last) is None else None
