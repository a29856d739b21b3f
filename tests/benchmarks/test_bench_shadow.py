"""The measure of what a shadow costs, whole but tiny."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def test_each_load_is_measured_with_a_shadow_and_twice_without(monkeypatch):
    from bench import shadow

    monkeypatch.setattr(shadow, "LOADS", (("some", 0.1), ("all", 0.0)))
    rows = shadow.measure(rounds=1, seconds=0.2)
    assert [row.work.rpartition(", ")[2] for row in rows] == [
        f"{load}: {key}" for load in ("some", "all") for key in ("p99_ms", "p50_ms", "cpu_us")
    ]
    assert all(row.ours > 0 and row.limit > 0 for row in rows)
    assert all("without beside without" in row.note for row in rows)


def test_requests_come_at_the_same_moments_in_every_run_and_as_often_as_asked():
    from bench._paced_load import moments

    found = list(moments(rate=1_000.0, seconds=4.0))
    assert found == list(moments(rate=1_000.0, seconds=4.0))
    assert found == sorted(found)
    assert len(found) == pytest.approx(4_000, rel=0.1)
