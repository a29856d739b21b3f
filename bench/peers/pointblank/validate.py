"""A validation plan, interrogated; sundered data are the two sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench._entrant import Found, Given, timed


def runs(given: Given) -> Iterator[Found]:
    import polars as pl

    good, bad = (f"{given['folder']}/{side}.parquet" for side in ("good", "bad"))
    while True:
        with timed() as took:
            frame = pl.read_parquet(given["files"])
            done = plan(frame).interrogate(collect_extracts=False, collect_tbl_checked=True)
            done.get_sundered_data(type="pass").write_parquet(good)
            done.get_sundered_data(type="fail").write_parquet(bad)
            counts = dict(zip(given["rules"], done.n_failed().values(), strict=True))
        yield took | {"good": good, "bad": bad, "counts": counts}


def plan(frame: Any) -> Any:
    """Return the rules in the order in which they are given."""
    from datetime import UTC, datetime

    import pointblank as pb
    import polars as pl

    late = datetime(2100, 1, 1, tzinfo=UTC)
    return (
        pb.Validate(frame)
        .rows_distinct("id")
        .col_vals_lt("seen_at", late)
        .col_vals_gt("distance", 0)
        .col_vals_lt("distance", 6000)
        .col_vals_ge("delay", -120)
        .col_vals_lt("delay", 1500)
        .col_vals_in_set("origin", ["EWR", "JFK", "LGA"])
        .col_vals_not_null("dest")
        .col_vals_regex("dest", "^D", na_pass=True)
        .col_vals_regex("tailnum", "^N")
        .col_vals_str_len("tailnum", min_val=2, max_val=6)
        .col_vals_ge("seats", 0)
        .col_vals_between("humidity", 0, 100)
        .col_vals_not_null("daylight")
        .col_vals_expr((pl.col("distance") > 100) | (pl.col("delay") < 1000))
    )
