"""Two tables compared: counts as plain Python has them, distances that mean something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from onward.core.errors import DeclarationError
from onward.core.records import Diff
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.validate.compare import compare


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


def compared(lake: IcebergLake, before: pa.Table, after: pa.Table, **given_: Any) -> Diff:
    for name, rows in (("raw.before", before), ("raw.after", after)):
        lake.stage(name, rows, branch="b", mode="replace", summary={"key": "k"})
        head = lake.head(name)
        lake.publish(name, "b", expect=head.id if head else None)
    return compare(lake.dataset("raw.before"), lake.dataset("raw.after"), lake=lake, **given_)


def test_rows_are_matched_by_their_key(lake: IcebergLake) -> None:
    before = pa.table({"k": [1, 2, 3, 4], "x": [1.0, None, 3.0, float("nan")], "s": list("abcd")})
    after = pa.table({"k": [2, 3, 4, 5, 6], "x": [2.0, None, float("nan"), 5.0, 6.0],
                      "s": list("bzdef")})  # fmt: skip
    found = compared(lake, before, after, key=("k",))
    rows = found.rows
    assert (rows.how, rows.key, rows.before, rows.after) == ("key", ("k",), 4, 5)
    assert (rows.added, rows.removed, rows.changed) == (2, 1, 2)
    assert rows.columns == {"x": 2, "s": 1}
    assert not found.same
    assert compared(lake, before, before, key=("k",)).same


def test_columns_that_came_went_or_changed_their_type(lake: IcebergLake) -> None:
    before = pa.table({"k": [1, 2], "gone": ["a", "b"], "n": pa.array([1, 2], pa.int64())})
    after = pa.table({"k": [1, 2], "new": [True, False], "n": ["1", "two"]})
    found = compared(lake, before, after, key=("k",))
    assert [(c.name, c.dtype) for c in found.added] == [("new", "BOOLEAN")]
    assert [(c.name, c.dtype) for c in found.dropped] == [("gone", "VARCHAR")]
    assert [(c.name, c.before, c.after) for c in found.retyped] == [("n", "BIGINT", "VARCHAR")]
    assert (found.rows.changed, found.rows.columns) == (1, {"n": 1})
    assert {c.name: c.distance for c in found.columns}["n"] is None


@pytest.mark.parametrize(
    ("key", "why"), [((), "name one with --key"), (("k",), "k occurs more than once after")]
)
def test_without_a_key_whole_rows_are_counted(
    lake: IcebergLake, key: tuple[str, ...], why: str
) -> None:
    before = pa.table({"k": [1, 2, 3], "x": [1, 2, 3]})
    after = pa.table({"k": [1, 1, 3], "x": [1, 1, 4]})
    rows = compared(lake, before, after, key=key).rows
    assert (rows.how, rows.added, rows.removed, rows.changed) == ("rows", 2, 2, 0)
    assert why in rows.why


def test_a_key_that_is_not_in_both_is_refused(lake: IcebergLake) -> None:
    with pytest.raises(DeclarationError, match="did you mean 'key'"):
        compared(lake, pa.table({"key": [1]}), pa.table({"key": [1], "kez": [1]}), key=("kez",))


def test_tables_without_a_column_in_common_and_empty_ones(lake: IcebergLake) -> None:
    found = compared(lake, pa.table({"a": [1]}), pa.table({"b": [1, 2]}))
    assert (found.rows.added, found.rows.removed, found.columns) == (2, 1, ())
    empty = pa.table({"a": pa.array([], pa.int64())})
    [column] = compared(lake, empty, pa.table({"a": [1]}), key=("a",)).columns
    unknown = pa.table(
        {"a": pa.array([None] * 500, pa.string()), "b": pa.array([None] * 500, pa.bool_())}
    )
    known = pa.table({"a": ["x", "y"] * 250, "b": [True, False] * 250})
    assert all(c.distance > 0.9 for c in compared(lake, known, unknown).columns)
    assert all(c.missing == (1.0, 0.0) for c in compared(lake, unknown, known).columns)
    assert (column.distance, column.missing) == (None, (0.0, 0.0))


def test_a_shift_is_found_and_what_stays_is_alike(lake: IcebergLake) -> None:
    rng = np.random.default_rng(0)
    n, start = 4000, datetime(2024, 1, 1, tzinfo=UTC)
    hours = [start + timedelta(hours=i) for i in range(n)]

    def sample(shift: float, later: int, missing: float) -> pa.Table:
        return pa.table(
            {
                "same": rng.normal(size=n),
                "moved": rng.normal(size=n) + shift,
                "kind": rng.choice(["a", "b", "c"], n, p=[0.8 - shift / 4, 0.1, 0.1 + shift / 4]),
                "flag": rng.random(n) < 0.5,
                "at": pa.array([h + timedelta(days=later) for h in hours]),
                "holes": np.where(rng.random(n) < missing, np.nan, rng.normal(size=n)),
            }
        )

    found = compared(lake, sample(0, 0, 0.05), sample(1.0, 400, 0.3))
    by_name = {c.name: c for c in found.columns}
    assert found.columns[0].name == "at"
    assert by_name["at"].distance == pytest.approx(1.0, abs=0.15)
    assert by_name["moved"].distance > 0.25
    assert by_name["moved"].shift == pytest.approx(1.0, abs=0.1)
    assert by_name["kind"].distance > 0.15
    assert by_name["holes"].distance > 0.15
    for name in ("same", "flag"):
        assert by_name[name].distance < 0.05, name
    assert by_name["flag"].shift is None


rows = st.dictionaries(
    st.integers(0, 12), st.tuples(st.integers(0, 2) | st.none(), st.sampled_from("ab")), min_size=1
)


@settings(
    max_examples=6, deadline=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(before=rows, after=rows)
def test_counts_are_as_plain_python_has_them(
    lake: IcebergLake, before: dict[int, tuple], after: dict[int, tuple]
) -> None:
    def table(of: dict[int, tuple]) -> pa.Table:
        return pa.table(
            {"k": list(of), "x": pa.array([v[0] for v in of.values()], pa.int64()),
             "s": [v[1] for v in of.values()]}
        )  # fmt: skip

    found = compared(lake, table(before), table(after), key=("k",)).rows
    both = before.keys() & after.keys()
    assert found.added == len(after.keys() - both)
    assert found.removed == len(before.keys() - both)
    assert found.changed == sum(before[k] != after[k] for k in both)
    expected = {
        name: n
        for i, name in enumerate(("x", "s"))
        if (n := sum(before[k][i] != after[k][i] for k in both))
    }
    assert found.columns == expected
    assert found.before + found.added - found.removed == found.after
