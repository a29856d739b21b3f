"""Rules on the batch as a whole: shares, freshness, totals, distributions; and severities."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from ibis import _
from judged import NOW, judge

import onward as ow
from onward.core import distance
from onward.core.errors import DataError, DeclarationError

ROWS = pa.table({"x": [1.0, 2.0, None, -4.0], "day": ["m", "m", "t", "t"], "n": [1, 2, 3, 4]})


def test_severity_says_what_a_broken_row_rule_does():
    rules = [
        ow.check("quarantines", _.x > 0),
        ow.check("holds", _.n < 4, severity="hold"),
        ow.check("warns", _.n > 2, severity="warn"),
        ow.batch_check("only says", _.count() > 100, severity="warn"),
    ]
    found = judge(ROWS, *rules)
    assert found.offenders == {"quarantines": 2, "holds": 1, "warns": 2, "only says": 0}
    assert not any(found.passed.values())
    assert found.good["n"].to_pylist() == [1, 2]
    assert [r.severity for r in found.rules.values()] == ["quarantine", "hold", "warn", "warn"]
    assert found.details["warns"] == "2 of 4 rows"


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: ow.check("c", _.x > 0, severity="hald"), "no severity 'hald'.*mean 'hold'"),
        (lambda: ow.batch_check("c", _.count() > 0, severity="quarantine"), "cannot quarantine"),
        (lambda: ow.complete("x", severity="quarantine"), "cannot quarantine"),
        (lambda: ow.complete("x", at_least=1.5), "share of rows cannot be 1.5"),
        (ow.unique, "names no column"),
        (lambda: ow.unique("x", keep="best", by="n"), "no rule for keep 'best'"),
        (lambda: ow.unique("x", keep="first"), "keeps 'first' by None"),
        (lambda: ow.unique("x", by="n"), "keeps 'none' by 'n'"),
        (lambda: ow.references("x", "customers"), "leads from x to customers"),
        (lambda: ow.references(["x", "n"], ["a.x", "b.n"]), "leads from x, n to a.x, b.n"),
        (lambda: ow.fresh("day", "soon"), "soon"),
        (lambda: ow.reconcile("c", _.count(), _.n.sum()), "reconciles with"),
        (lambda: ow.reconcile("c", _.count(), 4, by="day"), "groups with one number"),
        (lambda: ow.reconcile("c", _.count(), 4, over="tabel"), "no range 'tabel'"),
        (lambda: ow.distribution("x", "ks"), "no measure 'ks'"),
        (lambda: ow.distribution("x", last=0), "the last 0 batches"),
        (lambda: ow.python_check("c", len, given="panda"), "no table 'panda'.*mean 'pandas'"),
    ],
)
def test_what_cannot_be_declared_is_refused_where_it_stands(declare, message):
    with pytest.raises(DeclarationError, match=f"(?s){message}") as no:
        declare()
    assert no.value.location.file == __file__


def test_a_column_is_complete_up_to_a_share():
    found = judge(ROWS, ow.complete("x"), ow.complete("x", at_least=0.75, name="mostly"))
    assert found.passed == {"x is complete": False, "mostly": True}
    assert found.details["x is complete"] == "75 % of the rows, 100 % are asked for"
    assert judge(ROWS.slice(0, 0), ow.complete("x")).passed == {"x is complete": True}


@pytest.mark.parametrize(
    ("newest", "passed"),
    [
        (NOW - timedelta(days=2), True),
        (NOW - timedelta(days=2, microseconds=1), False),
        (None, False),
    ],
)
def test_a_batch_is_fresh_by_its_newest_time(newest, passed):
    times = pa.array([NOW - timedelta(days=9), newest, None], pa.timestamp("us", "UTC"))
    found = judge(pa.table({"at": times}).slice(0 if newest else 1), ow.fresh("at", "2d"))
    assert found.passed == {"at is fresh": passed}


def test_dates_are_fresh_by_their_midnight():
    rows = pa.table({"day": [date(2024, 4, 30)]})
    check = ow.fresh("day", timedelta(hours=25))
    assert judge(rows, check).passed["day is fresh"]
    assert not judge(rows, check, at=datetime(2024, 5, 1, 2, tzinfo=UTC)).passed["day is fresh"]
    with pytest.raises(DeclarationError, match="looks at 'n', which is int64"):
        judge(ROWS, ow.fresh("n", "2d"))


# ---------------------------------------------------------------- reconciliation

TOTALS = pa.table({"day": ["m", "t", "w"], "n": [3, 8, 5]})


def test_a_control_total_is_met_within_the_tolerance():
    checks = [
        ow.reconcile("exact", _.n.sum(), 10),
        ow.reconcile("near", _.n.sum(), 10.5, tolerance=0.5),
        ow.reconcile("far", _.n.sum(), 10.6, tolerance=0.5),
        ow.reconcile("none", lambda t: t.x.sum(where=t.n > 9), 1),
    ]
    found = judge(ROWS, *checks)
    assert found.passed == {"exact": True, "near": True, "far": False, "none": False}
    assert found.details["far"] == "10 here, 10.6 there"
    assert found.details["none"] == "nothing here, 1 there"


def test_a_batch_adds_up_to_another_table_whole_or_by_group():
    theirs = ("totals", _.n.sum())
    checks = [
        ow.reconcile("whole", _.n.sum(), theirs),
        ow.reconcile("by day", _.n.sum(), theirs, by="day"),
        ow.reconcile("by day, nearly", _.n.sum(), theirs, by="day", tolerance=1),
    ]
    found = judge(ROWS, *checks, others={"totals": TOTALS})
    assert found.passed == {"whole": False, "by day": False, "by day, nearly": True}
    assert found.details["by day"] == "1 group differs: day=t: 7 here, 8 there"


def test_a_table_is_reconciled_as_publishing_would_leave_it():
    published = pa.table({"n": [1, 5], "day": ["t", "w"], "x": [0.0, 0.0]})
    check = ow.reconcile("by day", _.n.sum(), ("totals", _.n.sum()), by=["day"], over="table")
    others = {"totals": TOTALS}
    assert judge(ROWS, check, others=others, published=published).passed == {"by day": True}
    found = judge(ROWS, check, others=others, published=published.slice(0, 1))
    assert found.details["by day"] == "1 group differs: day=w: nothing here, 5 there"
    again = judge(ROWS, check, others=others, published=published, mode="replace")
    assert again.details["by day"].startswith("2 groups differ: day=t: 7 here, 8 there; day=w:")
    parts = judge(ROWS, check, others=others, published=published, mode="partitions")
    assert parts.details["by day"] == "1 group differs: day=t: 7 here, 8 there"
    merged = judge(ROWS, check, others=others, published=published, mode="upsert")
    assert merged.details["by day"] == "1 group differs: day=t: 7 here, 8 there"


def test_what_does_not_add_up_to_a_number_is_refused():
    with pytest.raises(DeclarationError, match="reconciles what is no single number: float64"):
        judge(ROWS, ow.reconcile("c", _.x, 1))
    with pytest.raises(DeclarationError, match=r"(?s)no column 'dya'.*did you mean 'day'"):
        judge(ROWS, ow.reconcile("c", _.count(), ("totals", _.n.sum()), by="dya"),
              others={"totals": TOTALS})  # fmt: skip


GROUPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-9, 9)), max_size=12)


@settings(max_examples=20, deadline=None, phases=[Phase.generate])
@given(ours=GROUPS, theirs=GROUPS, tolerance=st.integers(0, 5))
def test_groups_differ_as_polars_says(ours, theirs, tolerance):
    schema = {"g": pl.String, "v": pl.Int64}
    here = pl.DataFrame(ours, schema=schema, orient="row")
    there = pl.DataFrame(theirs, schema=schema, orient="row")
    check = ow.reconcile("c", _.v.sum(), ("other", _.v.sum()), by="g", tolerance=tolerance)
    found = judge(here.to_arrow(), check, others={"other": there.to_arrow()})
    sums = [side.group_by("g").agg(pl.col("v").sum()) for side in (here, there)]
    both = sums[0].join(sums[1], on="g", how="left", suffix="2")
    near = (pl.col("v") - pl.col("v2")).abs() <= tolerance
    assert found.passed["c"] == both.filter(~near.fill_null(False)).is_empty()


# ---------------------------------------------------------------- distribution

DRAW = np.random.default_rng(7)


def batch(shift=0.0, rows=3_000, share=0.5, missing=0.02):
    x = DRAW.normal(shift, 1, rows)
    return pa.table(
        {
            "x": pa.array(x, mask=DRAW.random(rows) < missing),
            "zeros": np.where(DRAW.random(rows) < 0.9, 0.0, x),
            "word": np.where(DRAW.random(rows) < share, "often", "rare"),
            "flag": DRAW.random(rows) < share,
            "at": pa.array([NOW] * rows, pa.timestamp("us", "UTC")),
        }
    )


PROFILES = [judge(batch()).profile for _repeat in range(3)]
ALL = [
    ow.distribution("x"),
    ow.distribution("x", "jensen_shannon", at_most=0.1, name="js"),
    ow.distribution("x", "mean_difference", at_most=0.2, name="smd"),
    ow.distribution("zeros", name="zeros"),
    ow.distribution("word", name="word"),
    ow.distribution("flag", "jensen_shannon", at_most=0.1, name="flag"),
]


def test_a_batch_like_those_before_is_let_through():
    found = judge(batch(), *ALL, profiles=PROFILES)
    assert all(found.passed.values()), found.details
    assert found.details["x is distributed as before"].startswith("PSI 0.0")


def test_a_batch_that_moved_is_not():
    found = judge(batch(shift=1.0, share=0.9), *ALL, profiles=PROFILES)
    assert [name for name, passed in found.passed.items() if passed] == ["zeros"]
    assert "is allowed" in found.details["smd"]
    missing = judge(batch(missing=0.5), *ALL, profiles=PROFILES)
    assert not missing.passed["x is distributed as before"]


def test_one_odd_batch_among_those_before_decides_nothing():
    odd = judge(batch(shift=5.0)).profile
    assert judge(batch(), ALL[0], profiles=[odd, *PROFILES[:2]]).passed[ALL[0].name]
    assert not judge(batch(), ow.distribution("x", last=1), profiles=[odd, *PROFILES]).passed[
        ALL[0].name
    ]


def test_without_enough_rows_on_either_side_nothing_is_said():
    small = judge(batch(rows=50)).profile
    found = judge(batch(shift=9.0), ALL[0], profiles=[small])
    assert found.details == {ALL[0].name: "no earlier batch to compare with"}
    found = judge(batch(shift=9.0, rows=50), ALL[0], profiles=PROFILES)
    assert found.passed == {ALL[0].name: True}
    other = {"rows": 3_000, "columns": {}}
    assert judge(batch(shift=9.0), *ALL, profiles=[other]).passed[ALL[0].name]


def test_a_distance_is_that_of_the_counts_themselves():
    now, before = batch(shift=0.7, share=0.7), batch()
    found = judge(now, ow.distribution("word", "psi", at_most=1e-9), profiles=PROFILES[:1])
    counts = PROFILES[0]["columns"]["word"]["top"]
    words = now["word"].to_pylist()
    expected = distance.psi(
        [share * 3_000 for _word, share in counts] + [0, 0],
        [words.count(word) for word, _share in counts] + [0, 0],
    )
    assert expected > 0.1
    assert f"PSI {expected:.3f} from" in found.details["word is distributed as before"]
    facts = judge(before).profile["columns"]["x"]
    x = now["x"].drop_null().to_numpy()
    smd = distance.mean_difference((facts["mean"], facts["std"]), (x.mean(), x.std(ddof=1)))
    check = ow.distribution("x", "mean_difference", at_most=1e-9, name="d")
    said = judge(now, check, profiles=[judge(before).profile]).details["d"]
    assert said.startswith(f"standardized mean difference {smd:.3f}")


def test_a_column_that_has_no_such_distance_is_refused():
    with pytest.raises(DeclarationError, match="compares 'at', which is timestamp"):
        judge(batch(), ow.distribution("at"))
    with pytest.raises(DeclarationError, match="no mean of 'word'"):
        judge(batch(), ow.distribution("word", "mean_difference"))


# ---------------------------------------------------------------- Python


def by_row(table):
    return table.x.notna() & (table.x > 0)


@pytest.mark.parametrize(
    "answer",
    [
        lambda t: t.to_pandas().x > 0,
        lambda t: (t.to_pandas().x > 0).sort_index(ascending=False),
        lambda t: (t.to_pandas().x > 0).to_numpy(),
        lambda t: [True, True, None, False],
        lambda t: pa.compute.greater(t["x"], 0),
        lambda t: pa.compute.greater(t["x"], 0).combine_chunks(),
        lambda t: pl.DataFrame(t)["x"] > 0,
    ],
)
def test_a_mask_may_come_as_any_row_of_booleans(answer):
    found = judge(ROWS, ow.python_check("positive", answer, given="arrow"))
    assert found.offenders == {"positive": 2}
    assert found.good["n"].to_pylist() == [1, 2]


@pytest.mark.parametrize("given_as", ["pandas", "polars", "arrow"])
def test_the_function_is_given_the_columns_it_names(given_as):
    seen = []

    def look(table):
        names = getattr(table, "column_names", None) or table.columns
        seen.append((type(table).__module__.split(".")[0], list(names)))
        return True

    check = ow.python_check("looks", look, given=given_as, columns=["n", "x"])
    assert judge(ROWS, check).passed == {"looks": True}
    assert seen == [({"arrow": "pyarrow"}.get(given_as, given_as), ["n", "x"])]


def test_one_answer_holds_the_batch_and_a_mask_does_what_its_severity_says():
    found = judge(
        ROWS,
        ow.python_check("never", lambda t: np.bool_(False)),
        ow.python_check("arrow scalar", lambda t: pa.scalar(False), severity="warn"),
        ow.python_check("rows", by_row, severity="warn"),
        ow.unique("day", name="day occurs once"),
    )
    assert [(r.scope, r.severity, r.passed) for r in found.rules.values()] == [
        ("batch", "hold", False),
        ("batch", "warn", False),
        ("row", "warn", False),
        ("row", "quarantine", False),
    ]
    assert found.offenders["rows"] == 2


def test_a_large_batch_is_judged_in_parts():
    parts = []

    def odd(table):
        parts.append(len(table))
        return table.n % 2 == 1

    rows = pa.table({"n": np.arange(300_000)})
    found = judge(rows, ow.python_check("odd", odd, in_parts=True))
    assert sum(parts) == 300_000
    assert max(parts) < 200_000
    assert found.offenders == {"odd": 150_000}
    assert set(np.asarray(found.good["n"]) % 2) == {1}
    with pytest.raises(DeclarationError, match="one answer for a part"):
        judge(rows, ow.python_check("odd", lambda t: True, in_parts=True))
    assert judge(rows.slice(0, 0), ow.python_check("odd", odd, in_parts=True)).passed["odd"]


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda t: 1 / 0, DataError, "check 'c' raised ZeroDivisionError"),
        (lambda t: [True], DeclarationError, "gives 1 answers for 4 rows"),
        (lambda t: [1, 2, 3, 4], DeclarationError, "gives list of int64"),
        (lambda t: None, DeclarationError, "gives NoneType"),
        (lambda t: t, DeclarationError, "gives DataFrame"),
    ],
)
def test_a_function_that_gives_no_answer_is_named(function, error, message):
    with pytest.raises(error, match=message) as no:
        judge(ROWS, ow.python_check("c", function))
    assert no.value.location.file == __file__


def test_one_answer_cannot_quarantine_and_columns_must_exist():
    with pytest.raises(DeclarationError, match="gives one answer for the batch"):
        judge(ROWS, ow.python_check("c", lambda t: False, severity="quarantine"))
    with pytest.raises(DeclarationError, match="no column 'nn'"):
        judge(ROWS, ow.python_check("c", by_row, columns=["nn"]))


def test_a_rule_that_looks_at_other_rows_may_hold_or_warn():
    alone = ow.check("alone", lambda t: t.count().over(group_by=t.day) == 1, severity="warn")
    above = ow.check("above the mean", lambda t: t.n >= t.n.mean(), severity="hold")
    found = judge(ROWS, alone, above, ow.batch_check("enough", _.count() > 3))
    assert found.offenders == {"alone": 4, "above the mean": 2, "enough": 0}
    assert found.passed["enough"]
