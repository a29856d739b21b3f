"""The feature views that somebody reads: kept up to date online, and how fresh they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from onward.core.records import Materialized, ViewPlan
from onward.flow.happened import happened
from onward.flow.pipeline.definition import Definition
from onward.flow.plans import plan_of
from onward.flow.release.releases import champion, current
from onward.flow.site import Site
from onward.stages.features.step import current_version, materialize


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A version of a view, and who reads it: the pipeline file, the champion, the candidate."""

    view: ViewPlan
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How fresh a version of a view is online.

    `mark` says how far it is written, None where it is not there; `behind` that the lake holds a
    snapshot which is not online yet.
    """

    view: ViewPlan
    by: tuple[str, ...]
    mark: Materialized | None
    behind: bool
    at: datetime


def reads(site: Site, definition: Definition) -> Sequence[Read]:
    """Return the versions that are read, those of the pipeline file first."""
    readers: dict[str, list[str]] = {}
    views: dict[str, ViewPlan] = {}

    def add(view: ViewPlan, reader: str) -> None:
        views.setdefault(view.ref, view)
        readers.setdefault(view.ref, []).append(reader)

    for view in definition.views:
        found = current_version(view, site.lake)
        if found is not None:
            add(found, "pipeline")
    serving = champion(site.ledger, definition.model)
    active = current(site.ledger, definition.model)
    if serving is not None:
        for plan in plan_of(serving.model).views:
            add(plan, f"{serving.model.ref} (champion)")
    if active is not None and active.ended is None:
        for plan in plan_of(active.candidate.model).views:
            add(plan, f"{active.candidate.model.ref} (candidate)")
    return [Read(view=view, by=tuple(readers[ref])) for ref, view in views.items()]


def freshness(site: Site, definition: Definition) -> Sequence[Freshness]:
    """Return how fresh each version is that is read.

    Raises
    ------
    UnavailableError
        The online store does not answer.
    """
    found = []
    for read in reads(site, definition):
        head, mark = site.lake.head(read.view.table), site.online.mark(read.view)
        found.append(
            Freshness(
                view=read.view,
                by=read.by,
                mark=mark,
                behind=head is not None and (mark is None or mark.snapshot != head.id),
                at=site.clock.now(),
            )
        )
    return found


def keep_online(
    site: Site, definition: Definition, *, view: str | None = None, full: bool = False
) -> Sequence[tuple[Read, int]]:
    """Bring the versions that are read up to what is known by now; return how many rows were newer.

    Where nothing has changed nothing is read or written: safe, and cheap, to repeat. With `full`
    every entity's row is written again.

    Raises
    ------
    UnavailableError
        The online store does not answer.
    """
    done = []
    for read in reads(site, definition):
        if view not in (None, read.view.name):
            continue
        now = site.clock.now()
        rows = materialize(read.view, lake=site.lake, online=site.online, now=now, full=full)
        done.append((read, rows))
        if rows:
            happened(
                site,
                "features.materialized",
                read.view.ref,
                key=f"{read.view.ref}/{now.isoformat()}",
                inputs=(read.view.ref,),
                rows=rows,
                full=full,
            )
    return done
