"""Rows in = rows published + rows quarantined, and every rule's count as Polars has it."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from ibis import _

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.records import Batch
from onward.infra.lake.iceberg import open_lake
from onward.stages.validate.step import audit

# Each rule twice: for Ibis, and as Polars says the same.
RULES: dict[str, tuple[Any, pl.Expr]] = {
    "positive": (_.x > 0, pl.col("x") > 0),
    "bounded": (_.x.between(-5, 5), pl.col("x").is_between(-5, 5)),
    "known": (_.s.isin(["a", "b"]), pl.col("s").is_in(["a", "b"])),
    "present": (_.n.notnull(), pl.col("n").is_not_null()),
    "either": ((_.n > 3) | (_.s == "a"), (pl.col("n") > 3) | (pl.col("s") == "a")),
    "both": ((_.n > -50) & _.flag, (pl.col("n") > -50) & pl.col("flag")),
    "compare": (_.n >= _.x, pl.col("n").cast(pl.Float64) >= pl.col("x")),
    "even": (_.n % 2 == 0, pl.col("n") % 2 == 0),
    "short": (lambda t: t.s.length() < 3, pl.col("s").str.len_chars() < 3),
    "unique": (lambda t: t.count().over(group_by=t.n) == 1, pl.len().over("n") == 1),
    "above mean": (lambda t: t.x >= t.x.mean(), pl.col("x") >= pl.col("x").mean()),
}

row = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-100, 100),
        "x": st.none() | st.floats(-10, 10, width=32),
        "s": st.none() | st.sampled_from(["a", "b", "c", "long", ""]),
        "flag": st.none() | st.booleans(),
    }
)
SCHEMA = {"n": pl.Int64, "x": pl.Float64, "s": pl.String, "flag": pl.Boolean}


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(
    batches=st.lists(st.lists(row, max_size=40), min_size=1, max_size=3),
    names=st.lists(st.sampled_from(sorted(RULES)), unique=True, max_size=8),
)
def test_every_row_is_published_or_quarantined(batches: list[list[dict]], names: list[str]) -> None:
    checks = tuple(ow.check(name, RULES[name][0]) for name in names)
    with TemporaryDirectory() as folder:
        lake = open_lake(Path(folder))
        good, bad = pl.DataFrame(schema=SCHEMA), pl.DataFrame(schema=SCHEMA)
        for number, rows in enumerate(batches):
            frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
            head = lake.head("raw.t")
            staged = lake.stage("raw.t", frame.to_arrow(), branch="audit", mode="append",
                                summary={"key": str(number)})  # fmt: skip
            batch = Batch(
                dataset="t", table="raw.t", branch="audit", run=str(number), mode="append",
                rows=len(frame), base=head.id if head else None, snapshot=staged.id,
                summary={"key": str(number)},
            )  # fmt: skip
            report = audit(
                batch, checks, lake=lake, clock=ReplayClock(datetime(2024, 1, 1, tzinfo=UTC))
            )
            holds = frame.select(RULES[name][1].fill_null(False).alias(name) for name in names)
            for result in report.rules:
                assert result.offenders == (~holds[result.rule]).sum(), result
            passed = pl.Series(
                [all(row) for row in holds.rows()] or [True] * len(frame), dtype=pl.Boolean
            )
            good.extend(frame.filter(passed))
            bad.extend(frame.filter(~passed))
            assert report.rows_in == len(frame)
            assert report.rows_published == passed.sum()
            assert report.rows_quarantined == len(frame) - report.rows_published
        assert _sorted(pl.DataFrame(lake.read("raw.t"))) == _sorted(good)
        kept = lake.read("quarantine.raw_t") if len(bad) else bad.to_arrow()
        assert _sorted(pl.DataFrame(kept).select(*SCHEMA)) == _sorted(bad)


def _sorted(frame: pl.DataFrame) -> list[tuple]:
    return sorted(frame.rows(), key=repr)
