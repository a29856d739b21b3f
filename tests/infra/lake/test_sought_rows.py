"""How a table lies whose rows are looked up: in row groups that are read for one row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from onward.infra.lake.iceberg import open_lake

ROWS = pa.table({"id": [f"w.{n // 8:x}.{n % 8}" for n in range(20_000)], "offset": range(20_000)})


def groups(folder: Path) -> list[int]:
    """Return the rows of each row group of the newest file."""
    newest = max(folder.rglob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
    footer = pq.read_metadata(newest)
    return [footer.row_group(n).num_rows for n in range(footer.num_row_groups)]


def test_a_sought_table_is_kept_in_small_row_groups_for_good(tmp_path: Path) -> None:
    lake = open_lake(tmp_path)
    lake.append("serving.told", ROWS, key="1", sought=True)
    assert groups(tmp_path) == [8_192, 8_192, 3_616]
    lake.append("serving.told", ROWS.slice(0, 9_000), key="2")
    assert groups(tmp_path) == [8_192, 808]
    assert lake.compact("serving.told", every=1) is not None
    assert groups(tmp_path) == [8_192, 8_192, 8_192, 4_424]
    assert lake.find("serving.told", {"id": "w.9c3.7"})["offset"].to_pylist() == [19_999]


def test_another_table_is_not(tmp_path: Path) -> None:
    open_lake(tmp_path).append("raw.told", ROWS, key="1")
    assert groups(tmp_path) == [20_000]
