"""A schema, validated lazily; the failure cases' row numbers split the frame.

``drop_invalid_rows`` would give the good side alone, and neither counts nor reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench._entrant import Found, Given, timed

# What Pandera calls the rules that are no checks of ours.
_OWN = {("id", "field_uniqueness"): "id", ("dest", "not_nullable"): "dest",
        ("daylight", "not_nullable"): "daylight"}  # fmt: skip


def runs(given: Given) -> Iterator[Found]:
    import polars as pl
    from pandera.errors import SchemaErrors

    checked = schema()
    good, bad = (f"{given['folder']}/{side}.parquet" for side in ("good", "bad"))
    while True:
        with timed() as took:
            frame = pl.read_parquet(given["files"])
            try:
                checked.validate(frame, lazy=True)
                raise AssertionError("there are offenders")
            except SchemaErrors as errors:
                cases = errors.failure_cases
            offenders = cases.select(pl.col("index").cast(pl.UInt32)).unique()
            numbered = frame.with_row_index()
            numbered.join(offenders, on="index", how="anti").write_parquet(good)
            numbered.join(offenders, on="index", how="semi").write_parquet(bad)
            counts = cases.group_by("column", "check").len().rows()
        told = {_OWN.get((column, check), check): count for column, check, count in counts}
        yield took | {"good": good, "bad": bad, "counts": told}


def schema() -> Any:
    from datetime import UTC, datetime

    import pandera.polars as pa
    import polars as pl
    from pandera.polars import Check, Column

    late = datetime(2100, 1, 1, tzinfo=UTC)
    far = (pl.col("distance") > 100) | (pl.col("delay") < 1000)
    return pa.DataFrameSchema(
        {
            "id": Column(pl.Int64, unique=True),
            "seen_at": Column(pl.Datetime("us", "UTC"), Check.lt(late, error="seen_at")),
            "distance": Column(
                float, [Check.gt(0, error="distance low"), Check.lt(6000, error="distance high")]
            ),
            "delay": Column(
                float, [Check.ge(-120, error="delay low"), Check.lt(1500, error="delay high")]
            ),
            "origin": Column(str, Check.isin(["EWR", "JFK", "LGA"], error="origin")),
            "dest": Column(str, Check.str_startswith("D", error="dest form")),
            "tailnum": Column(
                str,
                [Check.str_startswith("N", error="tail form"),
                 Check.str_length(2, 6, error="tail length")],
            ),
            "seats": Column(pl.Int64, Check.ge(0, error="seats")),
            "humidity": Column(float, Check.in_range(0, 100, error="humidity")),
            "daylight": Column(bool),
        },
        checks=Check(lambda data: data.lazyframe.select(far), error="far or early"),
    )  # fmt: skip
