"""What every lake must tell engines that read its tables by themselves."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from onward.core.errors import NotFoundError
from onward.core.ports import Lake


def test_metadata_is_icebergs_own_and_names_the_newest_snapshot(lake: Lake) -> None:
    lake.append("raw.n", pa.table({"n": [1]}), key="1")
    second = lake.append("raw.n", pa.table({"n": [2]}), key="2")
    told = json.loads(lake.metadata("raw.n"))
    assert second is not None
    assert told["current-snapshot-id"] == second.id
    assert {field["name"] for field in told["schemas"][0]["fields"]} == {"n"}
    with pytest.raises(NotFoundError, match=r"did you mean 'raw\.n'"):
        lake.metadata("raw.m")
