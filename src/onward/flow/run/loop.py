"""One turn of the loop that keeps a pipeline going, live and in a replay alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from onward.core.records import MonitorReport, ReleaseDecision, RunRequest, Suppressed
from onward.flow.data.quarantine import released
from onward.flow.data.windows import catch_up
from onward.flow.outcome import RunOutcome
from onward.flow.pipeline.definition import Definition
from onward.flow.release.loop import advance
from onward.flow.release.serving import declare
from onward.flow.run.requests import take_up
from onward.flow.run.runs import new_data, request, taken_in
from onward.flow.run.watch import due, watch
from onward.flow.site import Site

HELD_AGAIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn did; None where there was nothing to do."""

    refreshed: RunOutcome | None = None
    decision: ReleaseDecision | None = None
    report: MonitorReport | None = None
    verdict: RunRequest | Suppressed | None = None
    outcomes: tuple[RunOutcome, ...] = ()

    @property
    def idle(self) -> bool:
        return self == Turn()


def turn(
    site: Site,
    definition: Definition,
    deliver: Callable[[RunRequest], RunOutcome],
    *,
    wishes: Sequence[RunRequest] = (),
    on_data: bool = True,
) -> Turn:
    """Do what others wish, take in new data, judge the release, and watch production."""
    came = take_in(site, definition, deliver, wishes=wishes, on_data=on_data)
    catch_up(site, definition)
    judged = judge_release(site, definition)
    watched = watch_production(site, definition, deliver)
    return replace(
        watched,
        refreshed=came.refreshed,
        decision=judged.decision,
        outcomes=(*came.outcomes, *watched.outcomes),
    )


def take_in(
    site: Site,
    definition: Definition,
    deliver: Callable[[RunRequest], RunOutcome],
    *,
    wishes: Sequence[RunRequest] = (),
    on_data: bool = True,
) -> Turn:
    """Do what others wish, and take in new data."""
    outcomes = take_up(site, definition, wishes, deliver)
    refreshed = _refresh(site, definition, deliver) if on_data else None
    return Turn(refreshed=refreshed, outcomes=tuple(outcomes))


def judge_release(site: Site, definition: Definition) -> Turn:
    """Have the gateway serve as declared, and take the release under way a step on, or back."""
    declare(site.folders, definition)
    return Turn(decision=advance(site, definition))


def watch_production(
    site: Site, definition: Definition, deliver: Callable[[RunRequest], RunOutcome]
) -> Turn:
    """Judge production when it is time, and train where that calls for it."""
    report, verdict = watch(site, definition) if due(site, definition) else (None, None)
    outcomes = (deliver(verdict),) if isinstance(verdict, RunRequest) else ()
    return Turn(report=report, verdict=verdict, outcomes=outcomes)


def _refresh(
    site: Site, definition: Definition, deliver: Callable[[RunRequest], RunOutcome]
) -> RunOutcome | None:
    reason = _news(site, definition)
    if reason is None or _held_lately(site, definition):
        return None
    return deliver(request(site, reason, "data", train=False))


def _news(site: Site, definition: Definition) -> str | None:
    """Return why tables and features are to be brought up to date, or None."""
    waiting = new_data(site, definition)
    if waiting:
        return f"new data in {', '.join(waiting)}"
    last = site.ledger.events(kind="run.started", newest_first=True, limit=1)
    since = last[0].seq if last else 0
    besides = last[0].event.run if last else None
    came = taken_in(site.ledger, definition, after=since, besides=besides)
    if came:
        return f"rows of {', '.join(came)} were taken in"
    let_out = released(site.ledger, after=since)
    return f"rows of {', '.join(let_out)} were released from quarantine" if let_out else None


def _held_lately(site: Site, definition: Definition) -> bool:
    """Whether the last run was held a moment ago: the same batch would be held again.

    By another pipeline it may not be.
    """
    last = site.ledger.events(kind="run.finished", newest_first=True, limit=1)
    return bool(
        last
        and last[0].event.facts["state"] == "held"
        and last[0].event.facts["digest"] == definition.digest
        and site.clock.now() - last[0].event.at < HELD_AGAIN
    )
