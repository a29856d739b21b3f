"""Upkeep of the lake: small files become few, and what nobody needs goes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from onward.core.ports import Snapshot, Swept
from onward.flow.data.quarantine import settled
from onward.flow.happened import happened
from onward.flow.keeping.retention import Retention, retention
from onward.flow.site import Site

SWEPT: Final = "lake.swept"

SMALL_FILES: Final = 20
"""How many small files a table may have before they are rewritten as few."""


def compact(site: Site, *, every: int = SMALL_FILES) -> Sequence[Snapshot]:
    """Rewrite the small files of every table that has more than `every`; the rows stay.

    Safe beside writers: one that publishes meanwhile is not disturbed, and wins.
    """
    found = (site.lake.compact(table, every=every) for table in site.lake.tables())
    return [snapshot for snapshot in found if snapshot is not None]


def weigh(site: Site, plan: Sequence[Retention]) -> Sequence[Swept]:
    """Tell what `sweep` would remove by this plan."""
    return [
        site.lake.weigh(of.table, snapshots=of.going, branches=of.branches, before=of.before)
        for of in plan
    ]


def sweep(site: Site, *, keep: timedelta, grace: timedelta) -> Sequence[Swept]:
    """Remove what nobody needs from every table, and tell the ledger what went.

    Offenders that a crash left unpublished are settled first: their branch is then needed no
    more.
    """
    for table in site.lake.tables():
        settled(site, table)
    done = [
        site.lake.sweep(of.table, snapshots=of.going, branches=of.branches, before=of.before)
        for of in retention(site, keep=keep, grace=grace)
    ]
    went = [one for one in done if one.files or one.snapshots or one.branches]
    happened(site, SWEPT, "lake", key=site.clock.now().isoformat(), tables=went)
    return done


def sweep_due(site: Site, every: timedelta) -> bool:
    """Tell whether the last sweep was `every` ago or longer."""
    last = site.ledger.events(kind=SWEPT, newest_first=True, limit=1)
    return not last or site.clock.now() - last[0].event.at >= every
