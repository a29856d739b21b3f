"""A schema whose `filter` gives the good rows, the others, and each rule's count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench._entrant import Found, Given, timed

_NAMES = {
    "unique": "id", "seen_at|max_exclusive": "seen_at", "distance|check__low": "distance low",
    "distance|check__high": "distance high", "delay|check__low": "delay low",
    "delay|check__high": "delay high", "origin|check": "origin", "dest|nullability": "dest",
    "dest|check__form": "dest form", "tailnum|check__form": "tail form",
    "tailnum|check__length": "tail length", "seats|min": "seats", "humidity|max": "humidity",
    "daylight|nullability": "daylight", "far_or_early": "far or early",
}  # fmt: skip


def runs(given: Given) -> Iterator[Found]:
    import polars as pl

    rows = schema()
    good, bad = (f"{given['folder']}/{side}.parquet" for side in ("good", "bad"))
    while True:
        with timed() as took:
            passed, failed = rows.filter(pl.read_parquet(given["files"]))
            passed.write_parquet(good)
            failed.invalid().write_parquet(bad)
            counts = failed.counts()
        told = {_NAMES.get(name, name): count for name, count in counts.items()}
        yield took | {"good": good, "bad": bad, "counts": told}


def schema() -> Any:
    from datetime import UTC, datetime

    import dataframely as dy
    import polars as pl
    from polars import col

    late = datetime(2100, 1, 1, tzinfo=UTC)

    class Rows(dy.Schema):
        id = dy.Int64()
        seen_at = dy.Datetime(time_zone="UTC", max_exclusive=late)
        distance = dy.Float64(check={"low": lambda v: v > 0, "high": lambda v: v < 6000})
        delay = dy.Float64(check={"low": lambda v: v >= -120, "high": lambda v: v < 1500})
        origin = dy.String(check=lambda v: v.is_in(["EWR", "JFK", "LGA"]))
        dest = dy.String(check={"form": lambda v: v.str.starts_with("D")})
        tailnum = dy.String(
            check={
                "form": lambda v: v.str.starts_with("N"),
                "length": lambda v: v.str.len_chars().is_between(2, 6),
            }
        )
        seats = dy.Int64(min=0)
        humidity = dy.Float64(min=0, max=100)
        daylight = dy.Bool()

        @dy.rule()
        def unique(cls) -> pl.Expr:  # noqa: N805 (a class method, to dataframely)
            return col("id").is_unique()

        @dy.rule()
        def far_or_early(cls) -> pl.Expr:  # noqa: N805 (a class method, to dataframely)
            return (col("distance") > 100) | (col("delay") < 1000)

    return Rows
