"""Chained ``join_asof`` on the availability time, as the lazy API has it."""

from __future__ import annotations

from collections.abc import Iterator

from bench._entrant import Found, Given, timed


def runs(given: Given) -> Iterator[Found]:
    import polars as pl

    spine, file = pl.read_parquet(given["spine"]), f"{given['folder']}/joined.parquet"
    names = [f"v{i}__{f}" for i, _ in enumerate(given["views"]) for f in given["features"]]
    while True:
        with timed() as took:
            joined = _joined(spine, given).select("row", *names).collect()
        joined.write_parquet(file)
        yield took | {"file": file}


def _joined(spine, given: Given):
    import polars as pl

    frame = spine.lazy().sort("event_time")
    for number, file in enumerate(given["views"]):
        view = pl.scan_parquet(file).select(
            "entity", "available_at", at=pl.col("event_time"),
            **{f"v{number}__{f}": pl.col(f) for f in given["features"]},
        )  # fmt: skip
        known = frame.join_asof(
            view.sort("available_at"), left_on="event_time", right_on="available_at", by="entity",
            check_sortedness=False,
        )  # fmt: skip
        fresh = pl.col("at") >= pl.col("event_time") - pl.duration(days=given["ttl_days"])
        frame = known.with_columns(
            pl.when(fresh).then(pl.col(f"v{number}__{f}")) for f in given["features"]
        ).drop("at", "available_at")
    return frame
