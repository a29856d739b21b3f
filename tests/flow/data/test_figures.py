"""Figures over time: folded from events that a test tells, held against sums by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from onward.app.project import Project, open_project
from onward.core.clock import ReplayClock
from onward.core.records import DatasetRef, Replay, ValidationReport
from onward.flow.data.figures import PERIODS, TableFigures, figures
from onward.flow.happened import happened, timed

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def project(shop: Path) -> Project:
    return open_project(shop, clock=ReplayClock(START))


def batch(
    project: Project, run: str, *, rows: int, bad: int, seconds: float | None = 1.0,
    held: bool = False, newest: datetime | None = None,
) -> None:  # fmt: skip
    """Tell of one batch of orders, audited now."""
    now = project.clock.now()
    report = ValidationReport(
        batch=f"batch:raw.orders@{run}", dataset="orders", run=run, held=held, rows_in=rows,
        rows_published=0 if held else rows - bad, rows_quarantined=0 if held else bad, rules=(),
        profile={"rows": rows, "columns": {"ordered_at": {"max": (newest or now).isoformat()}}},
        published=None if held else DatasetRef(table="raw.orders", snapshot=1, rows=rows),
    )  # fmt: skip
    facts: dict[str, Any] = {} if seconds is None else {"seconds": seconds}
    happened(project.site, "batch.ingested", "raw.orders", key=run, run=run, rows=rows, **facts)
    happened(project.site, "batch.audited", "raw.orders", key=run, run=run, report=report, **facts)


def release(project: Project, run: str, *, rows: int, released: int) -> None:
    at = DatasetRef(table="raw.orders", snapshot=2, rows=1)
    report = Replay(
        dataset="orders", table="raw.orders", run=run, rows=rows, released=released,
        kept=rows - released, mended=0, released_before=0, rules=(), read=at, base=1, published=at,
    )  # fmt: skip
    happened(
        project.site, "quarantine.replayed", "raw.orders", key=run, run=run, report=report,
        seconds=0.5,
    )  # fmt: skip


def orders(project: Project, **given: Any) -> TableFigures:
    found = {one.name: one for one in figures(project.site, project.definition, **given)}
    return found["orders"]


def to(project: Project, days: float) -> None:
    project.clock.advance(START + days * DAY)


def test_before_anything_came_there_is_nothing(project: Project) -> None:
    found = figures(project.site, project.definition)
    assert [(one.name, one.kind) for one in found] == [("orders", "source"), ("sold", "transform")]
    for one in found:
        assert (one.rows, one.waiting, one.published_at) == (0, 0, None)
        assert (one.total.error_rate, one.total.age, one.total.seconds) == (None, None, 0)


def test_totals_are_sums_of_what_was_told(project: Project) -> None:
    batch(project, "r1", rows=100, bad=10, newest=START - DAY)
    to(project, 1)
    batch(project, "r2", rows=300, bad=0, seconds=3.0, newest=START)
    to(project, 2)
    batch(project, "r3", rows=50, bad=5, held=True)
    release(project, "p1", rows=8, released=6)
    to(project, 3)
    found = orders(project, per_hour=3600.0)
    total = found.total
    assert (total.rows_in, total.quarantined, total.released) == (450, 10, 6)
    assert (total.batches, total.held, found.waiting) == (3, 1, 4)
    assert total.error_rate == pytest.approx(10 / 450)
    assert (total.seconds, total.basis) == (pytest.approx(10.5), "measured")
    assert total.cost == pytest.approx(10.5)
    assert total.age == timedelta(days=3).total_seconds()
    assert found.published_at == START + 2 * DAY


def test_periods_cut_the_span_and_add_up_to_its_total(project: Project) -> None:
    batch(project, "r0", rows=70, bad=7)
    for day in range(5, 35):
        to(project, day)
        batch(project, f"r{day}", rows=day, bad=1, held=day == 20)
    found = orders(project, since=30 * DAY)
    assert len(found.periods) == PERIODS
    for name in ("rows_in", "quarantined", "batches", "held", "seconds"):
        assert getattr(found.total, name) == sum(getattr(p, name) for p in found.periods), name
    assert found.total.rows_in == sum(range(5, 35))
    assert found.periods[0].rows_in == 0
    assert found.periods[-1].rows_in == 33 + 34  # what came at the very end counts
    assert found.periods[0].age == timedelta(days=5).total_seconds()
    assert found.waiting == 7 + 29


def test_what_was_not_measured_is_estimated_by_rows_and_says_so(project: Project) -> None:
    batch(project, "r1", rows=100, bad=0, seconds=2.0)
    to(project, 1)
    batch(project, "r2", rows=50, bad=0, seconds=None)
    total = orders(project).total
    assert (total.seconds, total.basis) == (pytest.approx(2 * 2.0 + 2 * 1.0), "estimated")
    to(project, 10)
    batch(project, "r3", rows=10, bad=0, seconds=1.0)
    assert orders(project, since=DAY).total.basis == "measured"


def test_an_answer_comes_with_its_seconds() -> None:
    found, seconds = timed(divmod, 7, 2)
    assert found == (3, 1)
    assert seconds >= 0
