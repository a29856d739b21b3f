"""Rows of a lake that are looked up, one by one."""

from __future__ import annotations

import pyarrow as pa
import pytest
from lake_rows import rows

from onward.core.errors import NotFoundError
from onward.core.ports import Lake


def test_rows_are_found_by_their_values_wherever_they_came(lake: Lake) -> None:
    with pytest.raises(NotFoundError, match=r"raw\.flights"):
        lake.find("raw.flights", {"id": 1})
    many = pa.table({"id": range(20_000), "origin": [f"o{n // 7}" for n in range(20_000)]})
    lake.append("raw.flights", many, key="1", sought=True)
    more = pa.table({"id": [7, -1], "origin": ["o1", None], "gate": ["B2", "C3"]})
    lake.append("raw.flights", more, key="2")
    assert rows(lake.find("raw.flights", {"id": 15_000})) == [(15_000, "o2142", None)]
    both = lake.find("raw.flights", {"id": 7})["gate"].to_pylist()
    assert sorted(both, key=str) == ["B2", None]
    assert rows(lake.find("raw.flights", {"id": 7, "gate": "B2"})) == [(7, "o1", "B2")]
    assert rows(lake.find("raw.flights", {"origin": "o2856"}))[-1] == (19_998, "o2856", None)
    none = lake.find("raw.flights", {"id": 20_001})
    assert (none.num_rows, none.schema) == (0, lake.schema("raw.flights"))
    lake.compact("raw.flights", every=1)
    assert rows(lake.find("raw.flights", {"id": 15_000})) == [(15_000, "o2142", None)]
