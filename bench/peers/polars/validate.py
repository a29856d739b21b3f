"""The rules as expressions: one column of verdicts each, then both sides."""

from __future__ import annotations

from collections.abc import Iterator

from bench._entrant import Found, Given, timed


def runs(given: Given) -> Iterator[Found]:
    import polars as pl

    good, bad = (f"{given['folder']}/{side}.parquet" for side in ("good", "bad"))
    while True:
        with timed() as took:
            frame = pl.read_parquet(given["files"])
            broken = frame.select(
                (~rule).alias(f"broken: {name}") for name, rule in rules().items()
            )
            offends = broken.select(pl.any_horizontal(pl.all())).to_series()
            frame.filter(~offends).write_parquet(good)
            pl.concat([frame, broken], how="horizontal").filter(offends).write_parquet(bad)
            [counts] = broken.sum().to_dicts()
        told = {name.removeprefix("broken: "): count for name, count in counts.items()}
        yield took | {"good": good, "bad": bad, "counts": told}


def rules() -> dict:
    """Return what each rule asks of a row, never NULL."""
    from datetime import UTC, datetime

    import polars as pl
    from polars import col

    return {
        "id": col("id").is_unique(),
        "seen_at": col("seen_at") < pl.lit(datetime(2100, 1, 1, tzinfo=UTC)),
        "distance low": col("distance") > 0,
        "distance high": col("distance") < 6000,
        "delay low": col("delay") >= -120,
        "delay high": col("delay") < 1500,
        "origin": col("origin").is_in(["EWR", "JFK", "LGA"]),
        "dest": col("dest").is_not_null(),
        "dest form": col("dest").is_null() | col("dest").str.starts_with("D").fill_null(True),
        "tail form": col("tailnum").str.starts_with("N"),
        "tail length": col("tailnum").str.len_chars().is_between(2, 6),
        "seats": col("seats") >= 0,
        "humidity": col("humidity").is_between(0, 100),
        "daylight": col("daylight").is_not_null(),
        "far or early": (col("distance") > 100) | (col("delay") < 1000),
    }
