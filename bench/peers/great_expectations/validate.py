"""A suite on a pandas frame; the row numbers of unexpected values split it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from bench._entrant import Found, Given, timed

os.environ["GX_ANALYTICS_ENABLED"] = "false"


def runs(given: Given) -> Iterator[Found]:
    import great_expectations as gx
    import numpy as np
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("bench")
    batches = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    checked = suite()
    good, bad = (f"{given['folder']}/{side}.parquet" for side in ("good", "bad"))
    while True:
        with timed() as took:
            frame = pd.read_parquet(given["files"])
            result = batches.get_batch({"dataframe": frame}).validate(
                checked, result_format={"result_format": "COMPLETE"}
            )
            offends = np.zeros(len(frame), bool)
            for each in result.results:
                offends[each.result.get("unexpected_index_list") or []] = True
            frame[~offends].to_parquet(good, compression="zstd")
            frame[offends].to_parquet(bad, compression="zstd")
        counts = {
            each.expectation_config.meta["rule"]: each.result["unexpected_count"]
            for each in result.results
        }
        yield took | {"good": good, "bad": bad, "counts": counts}


def suite() -> Any:
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd

    late = pd.Timestamp("2100-01-01", tz="UTC")
    return gx.ExpectationSuite(
        name="bench",
        expectations=[
            gxe.ExpectColumnValuesToBeUnique(column="id", meta=_rule("id")),
            gxe.ExpectColumnValuesToBeBetween(
                column="seen_at", max_value=late, strict_max=True, meta=_rule("seen_at")
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="distance", min_value=0, strict_min=True, meta=_rule("distance low")
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="distance", max_value=6000, strict_max=True, meta=_rule("distance high")
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="delay", min_value=-120, meta=_rule("delay low")
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="delay", max_value=1500, strict_max=True, meta=_rule("delay high")
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="origin", value_set=["EWR", "JFK", "LGA"], meta=_rule("origin")
            ),
            gxe.ExpectColumnValuesToNotBeNull(column="dest", meta=_rule("dest")),
            gxe.ExpectColumnValuesToMatchRegex(column="dest", regex="^D", meta=_rule("dest form")),
            gxe.ExpectColumnValuesToMatchRegex(
                column="tailnum", regex="^N", meta=_rule("tail form")
            ),
            gxe.ExpectColumnValueLengthsToBeBetween(
                column="tailnum", min_value=2, max_value=6, meta=_rule("tail length")
            ),
            gxe.ExpectColumnValuesToBeBetween(column="seats", min_value=0, meta=_rule("seats")),
            gxe.ExpectColumnValuesToBeBetween(
                column="humidity", min_value=0, max_value=100, meta=_rule("humidity")
            ),
            gxe.ExpectColumnValuesToNotBeNull(column="daylight", meta=_rule("daylight")),
            gxe.ExpectColumnValuesToBeBetween(
                column="delay", max_value=1000, strict_max=True, row_condition="distance <= 100",
                condition_parser="pandas", meta=_rule("far or early"),
            ),
        ],
    )  # fmt: skip


def _rule(name: str) -> dict[str, str]:
    return {"rule": name}
