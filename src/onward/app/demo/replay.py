"""The replay: history first, then delivery by delivery through the gateway, to the year's end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from onward.app import flights_data
from onward.app.demo.traffic import Sent, Traffic
from onward.app.gateway.serving import serving, settle
from onward.app.init import create_project
from onward.app.log import logging_to
from onward.app.project import Project, open_project
from onward.core.clock import ReplayClock
from onward.core.errors import OnwardError
from onward.flow.outcome import RunOutcome
from onward.flow.progress import Listener
from onward.flow.run.loop import Turn, turn

FIRST: Final = datetime(2013, 4, 1, tzinfo=UTC)
LAST: Final = datetime(2014, 1, 1, tzinfo=UTC)
DELIVERY: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One delivery's worth of event time: what was asked, and what the loop did then."""

    at: datetime
    sent: Sent
    turn: Turn


def prepare(folder: Path, *, tell: Listener) -> tuple[Project, ReplayClock]:
    """Write the demo's project with the first quarter's data, and open it on April the first.

    Raises
    ------
    OnwardError
        The folder holds something else, or the demo's packages are not installed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise OnwardError(
            f"{folder} is not empty",
            expected="a new folder: the demo starts from the beginning",
            next_step=f"`rm -r {folder}`, or `onward demo --folder OTHER`",
        )
    create_project(folder, folder.name, "flights")
    flights_data.write_history(folder, FIRST, every=DELIVERY)
    clock = ReplayClock(FIRST)
    return open_project(folder, clock=clock, tell=tell), clock


def first_round(project: Project) -> RunOutcome:
    """Train and release the first champion on January to March."""
    outcome = project.run(reason="the first champion")
    if outcome is None or outcome.state != "promoted":
        why = outcome.reason if outcome else "nothing was trained"
        raise OnwardError(f"the first champion was not released: {why}")
    return outcome


def replay(project: Project, clock: ReplayClock, *, until: datetime) -> Iterator[Replayed]:
    """Replay up to `until`, one delivery at a time, in event time.

    Departures are asked for over HTTP as they are scheduled; then the clock moves on, the
    delivery's records arrive, and the loop turns once: data in, release judged, production
    watched, retraining if the policy asks for it.
    """
    with (
        project.alone(),
        logging_to(project.settings.state / "onward.log"),
        serving(project.settings, clock="request", port=0) as gateway,
        Traffic(gateway.url, project.definition.model) as traffic,
    ):
        while clock.now() < until:
            start, end = clock.now(), min(clock.now() + DELIVERY, until)
            sent = traffic.send(flights_data.requests(start, end))
            clock.advance(end)
            flights_data.deliver(project.settings.folder, start, end, every=DELIVERY)
            happened = turn(project.site, project.definition, project.deliver)
            settle(project.site, gateway, project.definition.model)
            yield Replayed(at=end, sent=sent, turn=happened)
