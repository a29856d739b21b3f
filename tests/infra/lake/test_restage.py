"""Staged rows staged again: which files are taken over, and what is told of those rewritten."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.expressions import EqualTo, GreaterThanOrEqual, IsNaN
from pyiceberg.table import Table

from onward.core.errors import CorruptError, OnwardError
from onward.core.ports import Snapshot, Staged
from onward.core.records import Batch
from onward.infra.lake import commit
from onward.infra.lake.iceberg import IcebergLake, open_lake

NAN = float("nan")


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


def again(lake: IcebergLake, rows: pa.Table, gone: list[int], **changes: object) -> Table:
    """Stage `rows`, then stage them again without some, publish, and return the table."""
    stated = {"branch": "b", "mode": "append", "summary": {}} | changes
    staged = lake.stage("raw.n", rows, **stated)
    lake.stage("raw.n", without(staged, gone), **stated)
    lake.publish("raw.n", "b", expect=staged.parent)
    return lake._catalog.load_table("raw.n")


def without(staged: Snapshot, gone: list[int]) -> Staged:
    batch = Batch(
        dataset="n", table="raw.n", branch="b", run="r", mode="append", rows=staged.rows,
        base=staged.parent, snapshot=staged.id,
    )  # fmt: skip
    return Staged(batch=batch, without=pa.array(gone, pa.int64()))


def data_files(lake: IcebergLake, tmp_path: Path) -> set[Path]:
    return set((tmp_path / "lake").rglob("*.parquet"))


@pytest.fixture
def many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "_FILE_BYTES", 8 * 10)


@pytest.mark.usefixtures("many_files")
def test_only_files_that_lose_a_row_are_written(lake: IcebergLake, tmp_path: Path) -> None:
    batches = [pa.record_batch({"n": range(i, i + 10)}) for i in range(0, 40, 10)]
    rows = pa.Table.from_batches(batches)
    staged = lake.stage("raw.n", rows, branch="b", mode="append", summary={})
    before = data_files(lake, tmp_path)
    assert len(before) == 4
    gone = [3, *range(21, 31)]  # one of the first file, and the third whole
    lake.stage("raw.n", without(staged, gone), branch="b", mode="append", summary={})
    assert len(data_files(lake, tmp_path) - before) == 1
    published = lake.publish("raw.n", "b", expect=None)
    assert (published.rows, published.files) == (29, 3)
    kept = [n for n in range(40) if n + 1 not in gone]
    assert sorted(lake.read("raw.n")["n"].to_pylist()) == kept


def test_a_file_is_found_by_the_values_that_stand_beside_nan(lake: IcebergLake) -> None:
    # A row group whose values include NaN has no bounds; the other groups' are not the file's.
    group = 122_880
    values = [1.0] * group + [NAN, 1e9] + [1.0] * (group - 2)
    table = again(lake, pa.table({"x": values, "n": range(2 * group)}), [1])
    found = table.scan(row_filter=GreaterThanOrEqual("x", 1e6)).to_arrow()
    assert found["n"].to_pylist() == [group + 1]
    assert table.scan(row_filter=IsNaN("x")).to_arrow()["n"].to_pylist() == [group]
    assert table.scan(row_filter=EqualTo("n", 7)).to_arrow().num_rows == 1


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.floats() | st.none(), st.text(max_size=20) | st.none()), min_size=2),
    st.data(),
)
def test_bounds_never_hide_a_row(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[float | None, str | None]],
    data: st.DataObject,
) -> None:
    lake = open_lake(tmp_path_factory.mktemp("lake"))
    numbers = data.draw(st.sets(st.integers(1, len(rows)), min_size=1, max_size=len(rows) - 1))
    xs, texts = (pa.array(c, t) for c, t in zip(zip(*rows, strict=True), KINDS, strict=True))
    table = again(lake, pa.table({"x": xs, "text": texts}), sorted(numbers))
    kept = [row for i, row in enumerate(rows, 1) if i not in numbers]
    read = lake.read("raw.n")
    assert repr(list(zip(*read.to_pydict().values(), strict=True))) == repr(kept)
    x, text = data.draw(st.sampled_from(kept))
    if x is not None and x == x:
        assert table.scan(row_filter=EqualTo("x", x)).to_arrow().num_rows >= 1
    if text is not None:
        assert table.scan(row_filter=EqualTo("text", text)).to_arrow().num_rows >= 1


KINDS = (pa.float64(), pa.string())


def test_a_full_disk_is_told_and_leaves_no_file(
    lake: IcebergLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = lake.stage("raw.n", pa.table({"n": [1, 2]}), branch="b", mode="append", summary={})
    before = data_files(lake, tmp_path)

    def full(path: Path) -> None:
        assert path.exists()
        raise duckdb.IOException(f'Could not write file "{path}": No space left on device')

    monkeypatch.setattr("onward.infra.lake.restage.sync", full)
    with pytest.raises(OnwardError, match=r"the disk is full: .*parquet could not be written"):
        lake.stage("raw.n", without(staged, [1]), branch="b", mode="append", summary={})
    monkeypatch.undo()
    assert data_files(lake, tmp_path) == before
    lake.stage("raw.n", without(staged, [1]), branch="b", mode="append", summary={})
    lake.publish("raw.n", "b", expect=None)
    assert lake.read("raw.n")["n"].to_pylist() == [2]


def test_a_damaged_file_is_told(lake: IcebergLake, tmp_path: Path) -> None:
    staged = lake.stage("raw.n", pa.table({"n": [1, 2]}), branch="b", mode="append", summary={})
    [file] = data_files(lake, tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CorruptError, match="missing or altered"):
        lake.stage("raw.n", without(staged, [1]), branch="b", mode="append", summary={})
