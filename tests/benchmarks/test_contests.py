"""Benchmarks that are contests, whole but tiny, without peers: it is results that are compared."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "sizes", "limits"),
    [
        ("pit", {"spine": 200, "rows": 2_000}, {"DuckDB by hand", "Polars"}),
        ("ingest", {"rows": 1_000}, {"DuckDB to Parquet", "onward, first batch"}),
        ("validate", {"rows": 10_000}, {"DuckDB by hand", "Polars", "DuckDB by hand, SUMMARIZE"}),
        ("online", {"entities": 200}, {"SQLite", "SQLite, decoded", "Redis", "Redis, decoded"}),
        ("materialize", {"entities": 200}, {"SQLite by hand", "Redis by hand"}),
    ],
)
def test_a_contest_compares_results_and_says_which_peers_are_not_installed(
    tmp_path, monkeypatch, name, sizes, limits
):
    monkeypatch.syspath_prepend(ROOT)
    from bench import _contest, report

    monkeypatch.setattr(_contest, "ENVIRONMENTS", tmp_path)
    rows = importlib.import_module(f"bench.{name}").measure(**sizes, rounds=1)
    assert {row.against for row in rows if not row.error} == limits
    assert {row.error for row in rows if row.against not in limits} == {report.NOT_INSTALLED}
    known = [row for row in rows if row.against in limits and "late" not in row.work]
    assert all("same result" in row.note for row in known)
