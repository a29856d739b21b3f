"""How a project stands, from the ledger and the gateway's address; nothing heavy is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from onward.core.events import Recorded
from onward.core.ports import Ledger
from onward.core.records import MonitorReport, Replay, ValidationReport
from onward.core.wording import counted
from onward.flow.data.quarantine import REPLAYED
from onward.flow.happened import fact
from onward.flow.release.releases import Release, champion, current
from onward.flow.run.runs import RunEntry, runs

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetStatus:
    """A source or a transform: what its newest audit published."""

    name: str
    rows: int
    quarantined: int
    held: bool
    audited_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a project stands; `alerts` say what is wrong with the gateway, by what it is about."""

    project: str
    model: str
    champion: int | None
    release: Release | None
    run: RunEntry | None
    datasets: Sequence[DatasetStatus]
    monitor: MonitorReport | None
    gateway: str | None
    alerts: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Return what a person reads: a name and a sentence, line by line."""
        yield "project", self.project
        yield "model", self.model
        yield "champion", f"version {self.champion}" if self.champion else "none yet: `onward run`"
        if self.release is not None and self.release.ended is None:
            yield "release", f"{self.release.standing}, step {self.release.step}"
        elif self.release is not None:
            for sentence in self.release.endings:
                yield "release", sentence
        if self.run is not None:
            state = self.run.state or "under way (or cut short: `onward run --resume`)"
            yield "last run", f"{self.run.id} {state}: {self.run.reason or self.run.request.reason}"
        for data in self.datasets:
            held = "; the newest batch is held" if data.held else ""
            quarantined = f", {data.quarantined:,} quarantined" if data.quarantined else ""
            yield data.name, f"{counted(data.rows, 'row')} published{quarantined}{held}"
        if self.monitor is not None:
            breaches = ", ".join(f"{b.monitor} ({b.subject})" for b in self.monitor.breaches)
            said = f"{breaches}: `onward monitors`" if breaches else "no breach"
            yield "monitors", f"{self.monitor.at:%Y-%m-%d %H:%M}: {said}"
        yield "gateway", self.gateway or "not running: `onward up`"
        for about, words in self.alerts.items():
            yield about, f"ALERT: {words}"


def status(project: Project) -> Status:
    """Gather a project's status."""
    from onward.app.gateway.serving import address, alerts

    definition, ledger = project.definition, project.ledger
    serving = champion(ledger, definition.model)
    reports = ledger.events(
        kind="monitor.reported", subject=definition.model, newest_first=True, limit=1
    )
    newest = runs(ledger, limit=1)
    url = address(project.settings.state)
    tables = [definition.table(s) for s in definition.sources]
    tables += [t.table for t in definition.transforms]
    return Status(
        project=project.settings.project.name,
        model=definition.model,
        champion=serving.model.version if serving else None,
        release=current(ledger, definition.model),
        run=newest[0] if newest else None,
        datasets=[found for t in tables if (found := _dataset(ledger, t)) is not None],
        monitor=fact(reports[0], "report", MonitorReport) if reports else None,
        gateway=url,
        alerts=alerts(url, project.settings.state) if url else {},
    )


def _dataset(ledger: Ledger, table: str) -> DatasetStatus | None:
    audits = ledger.events(kind="batch.audited", subject=table)
    reports = [fact(told, "report", ValidationReport) for told in audits]
    if not reports:
        return None
    replays = [
        (told.seq, fact(told, "report", Replay))
        for told in ledger.events(kind=REPLAYED, subject=table)
    ]
    since = _last_replaced(audits, reports)
    of_each = [(told.seq, r.published) for told, r in zip(audits, reports, strict=True)]
    of_each += [(seq, r.published) for seq, r in replays]
    published = [found for _, found in sorted(of_each, key=lambda e: e[0]) if found is not None]
    return DatasetStatus(
        name=table,
        rows=published[-1].rows if published else 0,
        quarantined=sum(r.rows_quarantined for r in reports[since:])
        - sum(r.released for seq, r in replays if seq > audits[since].seq),
        held=reports[-1].held,
        audited_at=audits[-1].event.at,
    )


def _last_replaced(audits: Sequence[Recorded], reports: Sequence[ValidationReport]) -> int:
    """Return the place of the audit that last made the whole table, 0 where rows are added.

    Offenders of earlier builds are nothing to wait for: their rows were judged again with the rest.
    """
    whole = [
        place
        for place, (told, report) in enumerate(zip(audits, reports, strict=True))
        if told.event.facts.get("mode") == "replace" and report.published is not None
    ]
    return whole[-1] if whole else 0
