"""Streams of rows become row groups and files of their sizes, or leave nothing."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.infra.lake import commit, writing
from onward.infra.lake.iceberg import open_lake

ROW = 8  # bytes


def batches(sizes: list[int]) -> Iterator[pa.RecordBatch]:
    first = 0
    for size in sizes:
        yield pa.record_batch({"x": pa.array(range(first, first + size), pa.int64())})
        first += size


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 25), max_size=8), st.integers(1, 30))
def test_groups_are_cut_by_rows_or_by_bytes(sizes: list[int], most: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(writing, "GROUP", 10)
        groups = list(writing._groups(batches(sizes), most * ROW))
    assert [x for group in groups for x in group["x"].to_pylist()] == list(range(sum(sizes)))
    assert all(0 < group.num_rows <= 10 for group in groups[:-1])
    if most > sum(sizes):  # else a group may be as small as a batch
        assert all(group.num_rows == 10 for group in groups[:-1])


def test_a_file_has_row_groups_that_cores_can_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "GROUP", 100)
    monkeypatch.setattr(commit, "_FILE_BYTES", 250 * ROW)
    lake = open_lake(tmp_path)
    lake.append("raw.t", pa.table({"x": range(520)}).to_reader(max_chunksize=70), key="1")
    found = [pq.read_metadata(file) for file in tmp_path.rglob("*.parquet")]
    rows = sorted([m.row_group(i).num_rows for i in range(m.num_row_groups)] for m in found)
    assert rows == [[100, 100, 20], [100, 100, 100]]
    assert lake.read("raw.t")["x"].to_pylist() == list(range(520))


def test_a_stream_that_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "GROUP", 10)
    monkeypatch.setattr(commit, "_FILE_BYTES", 20 * ROW)
    seen = []

    def breaking() -> Iterator[pa.RecordBatch]:
        yield from batches([10] * 5)
        seen.append(len(list(tmp_path.rglob("*.parquet"))))
        raise RuntimeError("enough")

    schema = pa.schema({"x": pa.int64()})
    with pytest.raises(RuntimeError, match="enough"):
        open_lake(tmp_path).append(
            "raw.t", pa.RecordBatchReader.from_batches(schema, breaking()), key="1"
        )
    assert seen == [3]  # two files, and one that was open
    assert not list(tmp_path.rglob("*.parquet"))
