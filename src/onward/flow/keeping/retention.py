"""Retention: which snapshots stay, and who needs each; the rest may go.

The lake does not know who reads what: the ledger and the tables' own state do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from onward.core.ports import Ledger, Snapshot
from onward.core.refs import parse_ref
from onward.flow.run.runs import RunEntry, unfinished
from onward.flow.site import Site
from onward.watch.lineage.data import made_from

_SNAPSHOT: Final = re.compile(r"snapshot:[^\s\",@]+@\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A snapshot, and why it stays; None where it goes."""

    snapshot: Snapshot
    because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What of a table stays and what goes. `branches` are those that go.

    What was staged or written `before`, and belongs to nothing, was abandoned.
    """

    table: str
    verdicts: tuple[Verdict, ...]
    branches: tuple[str, ...]
    before: datetime

    @property
    def going(self) -> tuple[int, ...]:
        return tuple(v.snapshot.id for v in self.verdicts if v.because is None)


def retention(site: Site, *, keep: timedelta, grace: timedelta) -> Sequence[Retention]:
    """Judge every snapshot of every table.

    One stays that is a table's newest; that was its newest within the last `keep`, or while a run
    that has not ended was under way; that a registered model was made from; or that something
    published reads on from, as derived tables and feature views do. What belongs to nothing stays
    for the time of `grace`, and as long as a run that has not ended.
    """
    # The lake first: what is committed after this is newer than every snapshot that may go, and a
    # run that begins after this reads nothing older.
    histories = {table: site.lake.history(table) for table in site.lake.tables()}
    branches = site.lake.branches()
    needs = _Needs(
        since=site.clock.now() - keep,
        running=unfinished(site.ledger),
        models=_models(site.ledger),
        readers=_readers(histories),
    )
    return [
        Retention(
            table=table,
            verdicts=_verdicts(histories.get(table, ()), needs),
            branches=tuple(b for b, head in branches.get(table, {}).items() if needs.stale(head)),
            before=needs.before(site.clock.now() - grace),
        )
        for table in sorted({*histories, *branches})
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needs:
    """Who needs what: `models` by the snapshot they were made from, `readers` by where they are."""

    since: datetime
    running: Sequence[RunEntry]
    models: Mapping[tuple[str, int], str]
    readers: Mapping[tuple[str, int], str]

    def because(self, snapshot: Snapshot, until: datetime) -> str | None:
        """Return why a snapshot stays that was its table's newest `until` then."""
        at = (snapshot.table, snapshot.id)
        if at in self.models:
            return self.models[at]
        for run in self.running:
            if until >= run.started_at:
                return f"run {run.id} is open"
        if until >= self.since:
            return "recent"
        return None

    def stale(self, head: Snapshot) -> bool:
        """Tell whether a branch belongs to nothing that is under way."""
        return head.at < self.before(self.since)

    def before(self, moment: datetime) -> datetime:
        """Return `moment`, or when the first run began that has not ended, if that was earlier."""
        return min([moment, *(run.started_at for run in self.running)])


def _verdicts(history: Sequence[Snapshot], needs: _Needs) -> tuple[Verdict, ...]:
    found = []
    reader: str | None = None  # reads on from here, and so reads all that comes after
    for snapshot, later in zip(history, [*history[1:], None], strict=True):
        reader = reader or needs.readers.get((snapshot.table, snapshot.id))
        if later is None:
            because: str | None = "newest"
        else:
            because = needs.because(snapshot, later.at) or (reader and f"read by {reader}")
        found.append(Verdict(snapshot=snapshot, because=because))
    return tuple(found)


def _models(ledger: Ledger) -> dict[tuple[str, int], str]:
    """Return the newest registered version that was made from each snapshot."""
    found = {}
    for told in ledger.events(kind="model.registered"):
        for model in told.event.outputs:
            for node in made_from(model, ledger=ledger).of_kind("snapshot"):
                found[_place(node.ref)] = model
    return found


def _readers(histories: Mapping[str, Sequence[Snapshot]]) -> dict[tuple[str, int], str]:
    """Return the table whose state names each snapshot: what it was made from last."""
    found = {}
    for table, history in histories.items():
        for value in history[-1].state.values():
            for name in _SNAPSHOT.findall(value):
                found[_place(name)] = table
    return found


def _place(name: str) -> tuple[str, int]:
    ref = parse_ref(name)
    return ref.name, int(ref.version or 0)
