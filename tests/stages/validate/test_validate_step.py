"""Audit: what readers see, what is quarantined, what is held, and what is refused."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from ibis import _

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.errors import DataError, DeclarationError, DivergedError
from onward.core.records import Batch
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.validate.step import audit, settle

NOW = datetime(2024, 5, 1, tzinfo=UTC)
CLOCK = ReplayClock(NOW)
ROWS = pa.table({"id": [1, 2, 3, 4], "x": [1.0, -1.0, None, 40.0], "name": ["a", "b", "a", None]})


@pytest.fixture
def lake(tmp_path: Any) -> IcebergLake:
    return open_lake(tmp_path / "lake")


def stage(lake: IcebergLake, rows: pa.Table = ROWS, run: str = "r1", **changes: Any) -> Batch:
    table = changes.get("table", "raw.orders")
    mode = changes.get("mode", "append")
    head = lake.head(table)
    said = {"summary": {"key": run}, "state": {"files": f"[{run}]"}}
    staged = lake.stage(table, rows, branch=f"audit-{run}", mode=mode, **said)
    return Batch(
        dataset=table.partition(".")[2], table=table, branch=f"audit-{run}", run=run, mode=mode,
        rows=rows.num_rows, base=head.id if head else None, snapshot=staged.id, **said,
    )  # fmt: skip


POSITIVE = ow.check("x is positive", _.x > 0)
NAMED = ow.check("has a name", lambda t: t.name.notnull())
SMALL = ow.check("x is small", _.x < 10)


def test_offenders_go_to_quarantine_with_every_reason(lake: IcebergLake) -> None:
    report = audit(stage(lake), (POSITIVE, NAMED, SMALL), lake=lake, clock=CLOCK, required=("id",))
    assert (report.rows_in, report.rows_published, report.rows_quarantined) == (4, 1, 3)
    assert not report.held
    assert [(r.rule, r.offenders, r.passed) for r in report.rules] == [
        ("id is present", 0, True),
        ("x is positive", 2, False),
        ("has a name", 1, False),
        ("x is small", 2, False),
    ]
    assert lake.read("raw.orders").to_pylist() == [{"id": 1, "x": 1.0, "name": "a"}]
    versions = {r.rule: r.version for r in report.rules}
    kept = sorted(lake.read("quarantine.raw_orders").to_pylist(), key=lambda r: r["id"])
    assert [(r["id"], r["_reasons"]) for r in kept] == [
        (2, ["x is positive"]),
        (3, ["x is positive", "x is small"]),
        (4, ["has a name", "x is small"]),
    ]
    for row in kept:
        assert row["_rules"] == [versions[reason] for reason in row["_reasons"]]
        assert (row["_run"], row["_quarantined_at"], row["_unreadable"]) == ("r1", NOW, None)
    assert report.published is not None
    assert report.published == lake.dataset("raw.orders")
    assert lake.history("raw.orders")[-1].state["files"] == "[r1]"


def test_a_clean_batch_is_published_as_it_stands(lake: IcebergLake) -> None:
    batch = stage(lake)
    report = audit(batch, (), lake=lake, clock=CLOCK, required=("id",))
    assert report.published is not None
    assert report.published.snapshot == batch.snapshot
    assert report.rows_published == 4
    assert lake.tables() == ["raw.orders"]


@pytest.mark.parametrize(
    "rule", [_.count() > 100, _.x.max() < 10, lambda t: t.x.mean(where=t.x > 1e9) > 0]
)
def test_a_held_batch_changes_nothing_that_a_reader_sees(lake: IcebergLake, rule: Any) -> None:
    audit(stage(lake, run="r0"), (), lake=lake, clock=CLOCK)
    before = (lake.tables(), lake.head("raw.orders"), lake.read("raw.orders"))
    batch = stage(lake)
    report = audit(batch, (POSITIVE, ow.batch_check("b", rule)), lake=lake, clock=CLOCK)
    assert report.held
    assert report.published is None
    assert (report.rows_in, report.rows_published, report.rows_quarantined) == (4, 0, 0)
    assert [(r.rule, r.passed) for r in report.rules] == [("x is positive", False), ("b", False)]
    assert (lake.tables(), lake.head("raw.orders"), lake.read("raw.orders")) == before
    assert lake.head("raw.orders", batch.branch) is None
    again = audit(batch, (POSITIVE, ow.batch_check("b", rule)), lake=lake, clock=CLOCK)
    assert again == report


def test_a_batch_of_offenders_still_moves_the_cursor(lake: IcebergLake) -> None:
    report = audit(stage(lake), (ow.check("never", _.x > 1e9),), lake=lake, clock=CLOCK)
    assert (report.rows_published, report.rows_quarantined) == (0, 4)
    assert lake.dataset("raw.orders").rows == 0
    assert lake.history("raw.orders")[-1].state["files"] == "[r1]"


def test_unreadable_values_are_an_offence(lake: IcebergLake) -> None:
    rows = ROWS.append_column("_unreadable", pa.array([None, None, "x=abc", None], pa.string()))
    report = audit(stage(lake, rows), (POSITIVE,), lake=lake, clock=CLOCK)
    assert [(r.rule, r.offenders) for r in report.rules] == [
        ("values are readable", 1),
        ("x is positive", 2),
    ]
    assert lake.read("raw.orders").column_names == ["id", "x", "name"]
    [kept] = [r for r in lake.read("quarantine.raw_orders").to_pylist() if r["id"] == 3]
    assert kept["_unreadable"] == "x=abc"
    assert kept["_reasons"] == ["values are readable", "x is positive"]
    assert "_unreadable" not in report.profile["columns"]


def test_repeating_an_audit_changes_nothing(lake: IcebergLake) -> None:
    checks = (POSITIVE, ow.unique("id"), ow.check("small", _.id < 4, severity="warn"))
    batch = stage(lake)
    first = audit(batch, checks, lake=lake, clock=CLOCK)
    tables = {name: lake.head(name) for name in lake.tables()}
    assert audit(batch, checks, lake=lake, clock=CLOCK) == first
    assert {name: lake.head(name) for name in lake.tables()} == tables


def test_offenders_are_settled_after_a_crash_and_a_compaction(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit(stage(lake, run="r1"), (POSITIVE,), lake=lake, clock=CLOCK)
    batch = stage(lake, run="r2")
    with monkeypatch.context() as patched:
        patched.setattr(IcebergLake, "append", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            audit(batch, (POSITIVE,), lake=lake, clock=CLOCK)
    assert lake.dataset("raw.orders").rows == 4
    assert lake.dataset("quarantine.raw_orders").rows == 2
    assert lake.compact("raw.orders", every=1) is not None
    settle("raw.orders", lake=lake)
    settle("raw.orders", lake=lake)
    kept = lake.read("quarantine.raw_orders")
    assert sorted(kept["_run"].to_pylist()) == ["r1", "r1", "r2", "r2"]
    report = audit(stage(lake, run="r3"), (POSITIVE,), lake=lake, clock=CLOCK)
    assert report.rows_quarantined == 2
    assert lake.dataset("quarantine.raw_orders").rows == 6


def test_a_batch_cut_from_an_older_main_is_refused(lake: IcebergLake) -> None:
    older, newer = stage(lake, run="r1"), stage(lake, run="r2")
    audit(newer, (), lake=lake, clock=CLOCK)
    with pytest.raises(DivergedError, match="moved on"):
        audit(older, (POSITIVE,), lake=lake, clock=CLOCK)
    assert lake.tables() == ["raw.orders"]
    assert lake.dataset("raw.orders").rows == 4


def test_a_replaced_table_may_change_while_its_quarantine_keeps_all(lake: IcebergLake) -> None:
    first = stage(lake, table="derived.t", mode="replace")
    audit(first, (POSITIVE,), lake=lake, clock=CLOCK)
    other = pa.table({"id": ["a", "b"], "x": [1.0, -3.0], "new": [True, False]})
    second = stage(lake, other, run="r2", table="derived.t", mode="replace")
    report = audit(second, (POSITIVE,), lake=lake, clock=CLOCK)
    assert (report.rows_published, report.rows_quarantined) == (1, 1)
    assert lake.read("derived.t").to_pylist() == [{"id": "a", "x": 1.0, "new": True}]
    [kept] = [r for r in lake.read("quarantine.derived_t").to_pylist() if r["_run"] == "r2"]
    assert (kept["id"], kept["id__string"], kept["new"], kept["name"]) == (None, "b", False, None)


def test_rule_versions_follow_their_definition(lake: IcebergLake) -> None:
    def versions(*checks: Any, run: str) -> list[str]:
        return [
            r.version for r in audit(stage(lake, run=run), checks, lake=lake, clock=CLOCK).rules
        ]

    one, two = versions(POSITIVE, NAMED, run="r1")
    assert versions(ow.check("other words", _.x > 0), NAMED, run="r2") == [one, two]
    changed = versions(
        ow.check("x is positive", _.x > 1),
        ow.check("has a name", lambda t: t.name.isnull()),
        run="r3",
    )
    assert one != changed[0]
    assert two != changed[1]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (ow.check("c", _.idd > 1), "check 'c': there is no column 'idd'.*did you mean 'id'"),
        (ow.check("c", lambda t: t["nme"] == "a"), "no column 'nme'.*did you mean 'name'"),
        (ow.check("c", _.x), "row check 'c' gives float64"),
        (ow.check("c", _.x.max() > 1), "gives one value for all rows.*ow.batch_check"),
        (ow.batch_check("c", _.x > 1), "gives a value per row.*an aggregate"),
        (ow.batch_check("c", _.count()), "batch check 'c' gives int64"),
        (ow.check("c", lambda t: 1 / 0), "cannot be evaluated: division by zero"),
        (ow.check("c", "x > 0"), "row check 'c' gives str"),
        (ow.check("x is positive", _.x > 1), "two checks have the name"),
    ],
)
def test_a_check_that_cannot_be_is_refused(lake: IcebergLake, check: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=f"(?s){message}") as no:
        audit(stage(lake), (POSITIVE, check), lake=lake, clock=CLOCK)
    assert no.value.location is not None
    assert no.value.location.file == __file__
    assert lake.tables() == []


def test_a_required_column_must_be_there(lake: IcebergLake) -> None:
    with pytest.raises(DeclarationError, match="no column 'key'"):
        audit(stage(lake), (), lake=lake, clock=CLOCK, required=("key",))


@pytest.mark.parametrize("scope", [ow.check, ow.batch_check])
def test_a_rule_that_fails_on_a_value_is_named(lake: IcebergLake, scope: Any) -> None:
    rule = _.name.cast("int64") > 0
    check = scope("number", rule if scope is ow.check else rule.any())
    with pytest.raises(DataError, match="check 'number' fails on a value: Conversion") as no:
        audit(stage(lake), (POSITIVE, check), lake=lake, clock=CLOCK)
    assert no.value.location is not None
    assert lake.tables() == []


def test_a_rule_that_answers_by_chance_parts_every_row_once(lake: IcebergLake) -> None:
    import ibis

    check = ow.check("chance", lambda t: (ibis.random() < 0.5) & (t.n >= 0))
    rows = pa.table({"n": range(1000)})
    audit(stage(lake, rows), (check,), lake=lake, clock=CLOCK)
    found = [lake.read(name)["n"].to_pylist() for name in ("raw.orders", "quarantine.raw_orders")]
    assert all(found)
    assert sorted(found[0] + found[1]) == list(range(1000))


def test_the_profile_is_plain_json(lake: IcebergLake) -> None:
    rows = pa.table(
        {
            "n": pa.array([1, 2, 3, None], pa.int64()),
            "x": [1e300, 2.0, float("inf"), float("nan")],
            "flag": [True, False, True, None],
            "name": ["a", "b", "a", None],
            "at": pa.array([0, 1, 2, None], pa.timestamp("us", "UTC")),
            "blank": pa.array([None] * 4, pa.string()),
            "tags": [["a"], ["b"], [], None],
            "quo\"te'd": ["'", '"', "'", None],
        }
    )
    report = audit(stage(lake, rows), (), lake=lake, clock=CLOCK)
    profile = json.loads(json.dumps(report.profile, allow_nan=False))
    assert profile["rows"] == 4
    columns = profile["columns"]
    below = [math.nextafter(value, 0) for value in (1.0, 2.0, 3.0)]
    assert columns["n"].pop("histogram") == {
        "edges": [below[0], 1.0, below[1], 2.0, below[2], 3.0],
        "counts": [0, 1, 0, 1, 0, 1, 0, 1],
    }
    assert columns["n"] == {
        "type": "number", "nulls": 1, "distinct": 3, "min": 1, "max": 3, "mean": 2.0, "std": 1.0,
        "quantiles": {"0.05": 1, "0.25": 1, "0.5": 2, "0.75": 3, "0.95": 3},
    }  # fmt: skip
    assert columns["flag"] == {"type": "boolean", "nulls": 1, "distinct": 2, "mean": 2 / 3}
    assert columns["name"]["top"] == [["a", 0.5], ["b", 0.25]]
    assert columns["at"]["max"] == "1970-01-01T00:00:00.000002+00:00"
    assert (columns["blank"]["nulls"], columns["blank"]["top"]) == (4, [])
    assert columns["tags"] == {"type": "other", "nulls": 1}
    assert columns["x"]["mean"] == 2.0
    assert columns["quo\"te'd"]["top"] == [["'", 0.5], ['"', 0.25]]


def test_a_large_batch_is_profiled_from_a_sample(lake: IcebergLake) -> None:
    n = 150_000
    rows = pa.table({"n": list(range(n)), "s": ["ab"[i % 4 == 0] for i in range(n)]})
    found = audit(stage(lake, rows), (), lake=lake, clock=CLOCK).profile["columns"]
    assert (found["n"]["min"], found["n"]["max"], found["n"]["mean"]) == (0, n - 1, (n - 1) / 2)
    assert found["n"]["quantiles"]["0.5"] == pytest.approx(n / 2, rel=0.05)
    assert found["s"]["top"][0] == ["a", pytest.approx(0.75, abs=0.02)]
