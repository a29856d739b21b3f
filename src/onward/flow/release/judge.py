"""Judging a release by production, without doing anything about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from onward.core.records import DatasetRef, ReleaseDecision
from onward.core.refs import ref
from onward.flow.pipeline.definition import Definition
from onward.flow.release.observe import observations
from onward.flow.release.releases import Release
from onward.flow.site import Site
from onward.stages.serve.release.decision import decide
from onward.stages.serve.release.verdict import Progress

if TYPE_CHECKING:
    import pyarrow as pa


def judge(
    site: Site, definition: Definition, release: Release, table: DatasetRef | None
) -> ReleaseDecision:
    """Return what the statistics allow now, by a table of predictions; do nothing."""
    rows = observations(site, definition, table, release.version, release.started_at)
    decision = _decided(definition, release, rows, site.clock.now())
    return replace(decision, data="" if table is None else table.ref)


def history(
    site: Site,
    definition: Definition,
    release: Release,
    table: DatasetRef | None,
    *,
    looks: int,
) -> Sequence[ReleaseDecision]:
    """Return what would have been said at so many moments since the strategy began, oldest first.

    A moment counts the answers up to it, with the labels that are known now.
    """
    import pyarrow.compute as pc

    rows = observations(site, definition, table, release.version, release.started_at)
    rows = rows.filter(pc.is_in(rows["step"], value_set=_steps(release, rows)))
    rows = rows.sort_by("at")
    ends = sorted({round(rows.num_rows * (n + 1) / looks) for n in range(looks)} - {0})
    return [
        _decided(definition, release, rows.slice(0, end), rows["at"][end - 1].as_py())
        for end in ends
    ]


def _steps(release: Release, rows: pa.Table) -> pa.Array:
    import pyarrow as pa

    return pa.array(list(release.shares), rows.schema.field("step").type)


def _decided(
    definition: Definition, release: Release, rows: pa.Table, now: datetime
) -> ReleaseDecision:
    strategies = definition.pipeline.release
    return decide(
        strategies[min(release.strategy, len(strategies) - 1)],
        Progress(
            release=ref("release", release.model, release.version),
            model=release.model,
            version=release.version,
            step=len(release.shares),
            shares=release.shares,
            started_at=release.strategy_started_at,
            step_started_at=release.step_started_at,
        ),
        rows,
        now,
    )
