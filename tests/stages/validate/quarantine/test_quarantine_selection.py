"""Looking into a quarantine: which rows are meant, and the files they are written to."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audited import NOW, TABLE, audited, replayed
from ibis import _

import onward as ow
from onward.core.errors import DataError, DeclarationError, NotFoundError
from onward.core.records import Selection
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.validate.quarantine.selection import counts, export, require_held, rows_of

POSITIVE = ow.check("x is positive", _.x > 0)
SMALL = ow.check("x is small", _.x < 10)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> IcebergLake:
    """Rows 2 and 3 of one run and 5 of another wait; row 6 was released by p1."""
    lake = open_lake(tmp_path_factory.mktemp("selection") / "lake")
    first = pa.table({"id": [1, 2, 3], "x": [1.0, -1.0, 40.0], "_id": ["m", "n", "o"]})
    audited(lake, first, "r1", POSITIVE, SMALL)
    audited(
        lake, pa.table({"id": [5, 6], "x": [-5.0, 50.0], "_id": ["p", "q"]}), "r2", POSITIVE, SMALL
    )
    replayed(lake, "p1", POSITIVE, ow.check("x is small", _.x < 60), selection=Selection(run="r2"))
    return lake


def ids(lake: IcebergLake, selection: Selection, limit: int = 100) -> list[int]:
    return sorted(row["id"] for row in rows_of(TABLE, selection, lake=lake, limit=limit))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [2, 3, 5]),
        ({"state": "released"}, [6]),
        ({"state": "all"}, [2, 3, 5, 6]),
        ({"rule": "x is positive"}, [2, 5]),
        ({"run": "r1"}, [2, 3]),
        ({"run": "r1", "rule": "x is small"}, [3]),
        ({"where": "x < 0 AND _id <> 'n'"}, [5]),
        ({"since": NOW}, [2, 3, 5]),
        ({"since": NOW + timedelta(seconds=1)}, []),
    ],
)
def test_a_selection_means_the_rows_that_fit_all_of_it(
    lake: IcebergLake, given: dict[str, Any], expected: list[int]
) -> None:
    assert ids(lake, Selection(**given)) == expected


def test_rows_are_found_by_their_ids(lake: IcebergLake) -> None:
    known = {r["id"]: r["_quarantine_id"] for r in rows_of(TABLE, Selection(), lake=lake, limit=9)}
    assert len(set(known.values())) == 3
    assert ids(lake, Selection(ids=(known[2], known[5]))) == [2, 5]
    assert len(ids(lake, Selection(), limit=2)) == 2


def test_counts_are_of_rows_not_of_their_versions(lake: IcebergLake) -> None:
    assert counts(TABLE, Selection(state="all"), lake=lake) == (
        3, 1, {"x is positive": 2, "x is small": 1},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rule": "x is postive"}, "did you mean 'x is positive'"),
        ({"run": "r9"}, "no run with rows in quarantine 'r9'(?s:.)*r1, r2"),
        ({"ids": ("zz-1",)}, "no row in quarantine 'zz-1'"),
    ],
)
def test_what_no_quarantine_held_is_refused(
    lake: IcebergLake, given: dict[str, Any], said: str
) -> None:
    require_held([TABLE], Selection(rule="x is small", run="r2"), lake=lake)
    with pytest.raises(NotFoundError, match=said):
        require_held([TABLE], Selection(**given), lake=lake)


@pytest.mark.parametrize("where", ["xx > 3", "x >", "x > 3; DROP TABLE quarantine", "x +"])
def test_a_condition_that_is_none_is_refused(lake: IcebergLake, where: str) -> None:
    with pytest.raises(DeclarationError, match=r"is no condition(?s:.)*SQL on the columns id, x"):
        ids(lake, Selection(where=where))


def test_an_export_has_the_rows_and_why(lake: IcebergLake, tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet", "a.json", "a.jsonl"):
        assert export(TABLE, Selection(run="r1"), tmp_path / name, lake=lake) == 2
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["id"], r["x"], r["_id"], r["_reasons"]) for r in rows] == [
        ("2", "-1.0", "n", "x is positive"),
        ("3", "40.0", "o", "x is small"),
    ]
    table = pq.read_table(tmp_path / "a.parquet")
    assert table["_reasons"].to_pylist() == [["x is positive"], ["x is small"]]
    listed = json.loads((tmp_path / "a.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert listed == lines
    assert [r["_quarantine_id"] for r in listed] == table["_quarantine_id"].to_pylist()


def test_an_export_is_whole_or_not_there(lake: IcebergLake, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"ends in \.csv, \.parquet"):
        export(TABLE, Selection(), tmp_path / "a.xlsx", lake=lake)
    with pytest.raises(DataError, match="cannot be written"):
        export(TABLE, Selection(), tmp_path / "none" / "a.csv", lake=lake)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        export(TABLE, Selection(), tmp_path / "folder.csv", lake=lake)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.csv"]
