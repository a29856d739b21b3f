"""A lake whose catalog or files are elsewhere: what is refused, what is said when they are away."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from onward.core.errors import BusyError, DeclarationError
from onward.infra.lake.catalog import Place, corruption
from onward.infra.lake.iceberg import open_lake


def test_an_option_that_no_warehouse_has_is_named(tmp_path: Path) -> None:
    place = Place(warehouse="s3://bucket/lake", options={"sercet": "x"})
    with pytest.raises(DeclarationError, match="sercet") as caught:
        open_lake(tmp_path, place)
    assert "secret" in str(caught.value)


def test_a_catalog_that_does_not_answer_is_away_not_corrupt(tmp_path: Path) -> None:
    place = Place(catalog="postgresql://nobody:pass@127.0.0.1:9/none")
    with pytest.raises(BusyError, match="cannot be reached") as caught:
        open_lake(tmp_path, place)
    assert "pass" not in str(caught.value)
    assert "pass" not in repr(place)


def test_a_warehouse_that_does_not_answer_is_away(tmp_path: Path) -> None:
    with pytest.raises(BusyError, match="nothing was lost"), corruption(tmp_path, "raw.n"):
        raise OSError("When reading: AWS Error NETWORK_CONNECTION during HeadObject")
    with pytest.raises(OSError, match="too many"), corruption(tmp_path, "raw.n"):
        raise OSError(24, "too many open files")


def test_a_warehouse_in_another_folder(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "here", Place(warehouse=str(tmp_path / "there")))
    rows = pa.table({"id": [1]})
    lake.append("raw.n", rows, key="1")
    assert lake.read("raw.n") == rows
    assert list((tmp_path / "there").rglob("*.parquet"))
