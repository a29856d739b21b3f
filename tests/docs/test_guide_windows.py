"""The guide to windows: its view, in a project, against its definition."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from marked_pages import guide
from onward.app.project import open_project
from onward.flow.run.runs import request

GUIDE = guide("windows")
MODEL = "@ow.model(\n    features=[habits, basket],"


def test_the_view_is_published_and_says_what_the_guide_does(
    tmp_path: Path, shops: Callable[[Path], Path]
) -> None:
    folder = shops(tmp_path / "shop")
    file = folder / "pipeline.py"
    view = GUIDE.block("windows")
    code = file.read_text()
    assert MODEL in code
    with_view = f"{view}\n\n{MODEL}".replace("[habits,", "[spending, habits,")
    file.write_text(code.replace(MODEL, with_view))
    with open_project(folder) as project:
        project.deliver(request(project.site, "data only", train=False))
        orders = project.site.lake.read("raw.orders").to_pylist()
        rows = project.site.lake.read("features.spending_v1").to_pylist()
    assert {"count_7d", "sum_amount_30d", "high_amount", "last_items_90d"} <= rows[0].keys()
    assert len({r["customer"] for r in rows}) == len({o["customer"] for o in orders})
    for row in rows[:: len(rows) // 50]:
        mine = [
            o["amount"]
            for o in orders
            if o["customer"] == row["customer"]
            and row["event_time"] - timedelta(days=30) < o["ordered_at"] <= row["event_time"]
            and o["recorded_at"] <= max(row["available_at"], row["event_time"])
        ]
        assert (row["sum_amount_30d"] or 0) == pytest.approx(sum(mine))
