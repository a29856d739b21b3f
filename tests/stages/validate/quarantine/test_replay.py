"""Replay: who is released, once; who stays, and why; and what a mended file changes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audited import QUARANTINE, TABLE, audited, published, replayed, versions
from ibis import _

import onward as ow
from onward.core.errors import DataError, DeclarationError, DivergedError
from onward.core.records import Selection
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.validate.quarantine.replay import replays
from onward.stages.validate.quarantine.selection import export
from onward.stages.validate.quarantine.table import settle

POSITIVE = ow.check("x is positive", _.x > 0)
SMALL = ow.check("x is small", _.x < 10)
LARGER = ow.check("x is small", _.x < 100)
NAMED = ow.check("has a name", _.name.notnull())
ROWS = pa.table(
    {
        "id": [1, 2, 3, 4],
        "x": [1.0, -1.0, None, 40.0],
        "name": ["a", "b", "c", None],
        "_unreadable": pa.array([None, None, "x=abc", None], pa.string()),
    }
)


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    """Row 1 is published; 2, 3 and 4 are in quarantine."""
    lake = open_lake(tmp_path / "lake")
    audited(lake, ROWS, "r1", POSITIVE, SMALL, NAMED)
    return lake


def test_rows_that_pass_now_are_published_and_marked(lake: IcebergLake) -> None:
    found = replayed(lake, "p1", POSITIVE, LARGER)
    assert (found.rows, found.released, found.kept, found.mended) == (3, 1, 2, 0)
    assert published(lake) == [1, 4]
    assert found.published == lake.dataset(TABLE)
    assert found.quarantine == lake.dataset(QUARANTINE)
    assert (found.base, found.read.table) == (lake.history(TABLE)[0].id, QUARANTINE)
    rules = {r.rule: (r.offenders, r.passed) for r in found.rules}
    assert rules == {
        "id is present": (0, True),
        "values are readable": (1, False),
        "x is positive": (2, False),
        "x is small": (1, False),
    }
    first, last = [v for v in versions(lake) if v["id"] == 4]
    assert (first["_released_by"], last["_released_by"]) == (None, "p1")
    assert first["_reasons"] == last["_reasons"] == ["x is small", "has a name"]
    assert (last["_run"], last["_judged_by"], last["_row_version"]) == ("r1", "p1", 2)
    assert first["_quarantine_id"] == last["_quarantine_id"]
    assert list(replays(TABLE, lake=lake)) == [found]


def test_rows_that_fail_stay_with_their_new_reasons(lake: IcebergLake) -> None:
    renamed = ow.check("x is above zero", _.x > 0)
    found = replayed(lake, "p1", renamed, NAMED, selection=Selection(where="x < 0"))
    assert (found.rows, found.released, found.published) == (1, 0, None)
    assert published(lake) == [1]
    first, last = [v for v in versions(lake) if v["id"] == 2]
    assert (first["_reasons"], last["_reasons"]) == (["x is positive"], ["x is above zero"])
    assert (last["_judged_by"], last["_released_by"]) == ("p1", None)
    assert list(replays(TABLE, lake=lake)) == [found]


def test_a_replay_in_which_nothing_changes_leaves_nothing(lake: IcebergLake) -> None:
    heads = lake.head(TABLE), lake.head(QUARANTINE)
    found = replayed(lake, "p1", POSITIVE, SMALL, NAMED)
    assert (found.rows, found.kept, found.published, found.quarantine) == (3, 3, None, None)
    assert (lake.head(TABLE), lake.head(QUARANTINE)) == heads
    assert list(replays(TABLE, lake=lake)) == []


def test_released_rows_are_never_judged_again(lake: IcebergLake) -> None:
    replayed(lake, "p1", LARGER)
    again = replayed(lake, "p2", LARGER)
    assert (again.rows, again.released) == (1, 0)  # the unreadable one
    assert published(lake) == [1, 2, 4]


def test_batch_rules_are_not_asked(lake: IcebergLake) -> None:
    many = ow.batch_check("many rows", _.count() > 1000)
    assert replayed(lake, "p1", POSITIVE, LARGER, many).released == 1


def test_columns_that_changed_meanwhile_are_read_as_they_are_now(lake: IcebergLake) -> None:
    more = pa.table({"id": [5], "x": [5.0], "name": ["e"], "note": ["new"]})
    audited(lake, more, "r2")
    assert replayed(lake, "p1", LARGER).released == 2
    rows = {r["id"]: r for r in lake.read(TABLE).to_pylist()}
    assert (rows[4]["note"], rows[5]["note"]) == (None, "new")


def test_a_writer_that_comes_between_is_waited_out(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, others = IcebergLake.publish, iter((90, 91))

    def raced(self: IcebergLake, table: str, branch: str, **given: Any) -> Any:
        other = next(others, None)
        if other is not None:
            row = pa.table({"id": [other], "x": [1.0], "name": ["z"]})
            self.append(table, row, key=f"other-{other}")
        return publish(self, table, branch, **given)

    monkeypatch.setattr(IcebergLake, "publish", raced)
    assert replayed(lake, "p1", LARGER).released == 2
    assert published(lake) == [1, 2, 4, 90, 91]


def test_writers_without_end_are_told_of(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(*_: Any, **__: Any) -> Any:
        raise DivergedError("moved on")

    monkeypatch.setattr(IcebergLake, "publish", diverged)
    with pytest.raises(DivergedError):
        replayed(lake, "p1", LARGER)


def test_two_replays_that_read_the_same_rows_release_them_once(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, turns = IcebergLake.publish, iter(("p2",))

    def raced(self: IcebergLake, table: str, branch: str, **given: Any) -> Any:
        other = next(turns, None)
        if other is not None:
            replayed(self, other, LARGER)
        return publish(self, table, branch, **given)

    monkeypatch.setattr(IcebergLake, "publish", raced)
    replayed(lake, "p1", LARGER)
    assert published(lake) == [1, 2, 4]
    waiting = [v["id"] for v in versions(lake) if v["_released_by"] is not None]
    assert waiting == [2, 4]


def test_what_was_published_and_not_marked_is_marked_by_the_next(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(IcebergLake, "append", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            replayed(lake, "p1", LARGER)
    assert published(lake) == [1, 2, 4]
    settle(TABLE, lake=lake)
    assert [r.run for r in replays(TABLE, lake=lake)] == ["p1"]
    assert replayed(lake, "p2", LARGER).rows == 1
    assert published(lake) == [1, 2, 4]


# ---------------------------------------------------------------- mended rows


def exported(lake: IcebergLake, file: Path) -> Path:
    export(TABLE, Selection(), file, lake=lake)
    return file


def mend_csv(file: Path, change: Callable[[dict[str, str]], dict[str, str] | None]) -> Path:
    with file.open() as opened:
        rows = [changed for row in csv.DictReader(opened) if (changed := change(row)) is not None]
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_mended_rows_are_published_with_their_new_values(lake: IcebergLake, tmp_path: Path) -> None:
    values = {"2": "2.5", "3": "7", "4": "8"}
    file = exported(lake, tmp_path / "bad.csv")
    mend_csv(file, lambda row: {**row, "x": values[row["id"]]})
    found = replayed(lake, "p1", POSITIVE, SMALL, mended=file)
    assert (found.rows, found.released, found.mended) == (3, 3, 3)
    rows = {r["id"]: r for r in lake.read(TABLE).to_pylist()}
    assert [rows[i]["x"] for i in (2, 3, 4)] == [2.5, 7.0, 8.0]
    first, last = [v for v in versions(lake) if v["id"] == 3]
    assert (first["x"], first["_unreadable"], first["_mended"]) == (None, "x=abc", [])
    assert (last["x"], last["_unreadable"], last["_mended"]) == (7.0, None, ["x"])


def test_a_mended_row_that_fails_keeps_the_values_that_were_tried(
    lake: IcebergLake, tmp_path: Path
) -> None:
    file = exported(lake, tmp_path / "bad.csv")
    mend_csv(file, lambda row: {**row, "x": "50"} if row["id"] == "2" else None)
    found = replayed(lake, "p1", POSITIVE, SMALL, mended=file)
    assert (found.rows, found.released, found.mended) == (1, 0, 1)
    _, last = [v for v in versions(lake) if v["id"] == 2]
    assert (last["x"], last["_reasons"], last["_mended"]) == (50.0, ["x is small"], ["x"])
    assert replayed(lake, "p2", POSITIVE, LARGER).released == 2


def test_only_the_rows_of_the_file_are_judged_and_only_its_columns_change(
    lake: IcebergLake, tmp_path: Path
) -> None:
    ids = {v["id"]: v["_quarantine_id"] for v in versions(lake)}
    file = tmp_path / "mended.jsonl"
    given = [{"_quarantine_id": ids[4], "name": "d"}, {"_quarantine_id": ids[2], "x": 2}]
    file.write_text("".join(json.dumps(row) + "\n" for row in given))
    assert replayed(lake, "p1", POSITIVE, LARGER, NAMED, mended=file).released == 2
    rows = {r["id"]: r for r in lake.read(TABLE).to_pylist()}
    assert (rows[4]["x"], rows[4]["name"]) == (40.0, "d")
    assert (rows[2]["x"], rows[2]["name"]) == (2.0, "b")


def test_an_exported_file_changes_nothing_as_it_stands(lake: IcebergLake, tmp_path: Path) -> None:
    before = versions(lake)
    for name in ("bad.csv", "bad.parquet", "bad.json", "bad.jsonl"):
        found = replayed(lake, "p1", POSITIVE, SMALL, NAMED, mended=exported(lake, tmp_path / name))
        assert (found.rows, found.mended, found.quarantine) == (3, 0, None), name
    assert versions(lake) == before


def test_parquet_and_a_list_of_json_may_be_mended(lake: IcebergLake, tmp_path: Path) -> None:
    parquet = exported(lake, tmp_path / "bad.parquet")
    rows = pq.read_table(parquet).to_pylist()
    pq.write_table(pa.Table.from_pylist([{**r, "x": 3.0} for r in rows if r["id"] == 2]), parquet)
    assert replayed(lake, "p1", POSITIVE, mended=parquet).released == 1
    listed = exported(lake, tmp_path / "bad.json")
    rows = [{**r, "x": 4.0} for r in json.loads(listed.read_text()) if r["id"] == 3]
    listed.write_text(json.dumps(rows))
    assert replayed(lake, "p2", POSITIVE, mended=listed).released == 1
    assert published(lake) == [1, 2, 3]


def test_emptying_what_could_not_be_read_accepts_that_it_is_missing(
    lake: IcebergLake, tmp_path: Path
) -> None:
    file = exported(lake, tmp_path / "bad.csv")
    mend_csv(file, lambda row: {**row, "_unreadable": ""} if row["id"] == "3" else None)
    assert replayed(lake, "p1", NAMED, mended=file).released == 1
    assert {"id": 3, "x": None, "name": "c"} in lake.read(TABLE).to_pylist()


def test_rows_of_the_file_that_were_released_before_stay_as_they_are(
    lake: IcebergLake, tmp_path: Path
) -> None:
    file = exported(lake, tmp_path / "bad.csv")
    mend_csv(file, lambda row: {**row, "x": "5"})
    assert replayed(lake, "p1", POSITIVE, SMALL, mended=file).released == 3
    again = replayed(lake, "p2", POSITIVE, SMALL, mended=file)
    assert (again.rows, again.released_before) == (0, 3)
    assert published(lake) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.csv", None, "is no file of mended rows"),
        ("a.txt", "x", "is no file of mended rows"),
        ("a.csv", "id,x\n1,2\n", "has no column _quarantine_id"),
        ("a.json", "{", "cannot be read"),
        ("a.csv", "_quarantine_id,x\nzz-1,2\n", "there is no row zz-1 in this quarantine"),
        ("a.csv", "_quarantine_id,x\nID,2\nID,3\n", "has the row .*-1 twice"),
        ("a.csv", "_quarantine_id,x\n,2\n", "has a row without an id"),
        ("a.csv", "_quarantine_id,x\nID,two\n", "has 'two' for 'x'(?s:.)*a value of type DOUBLE"),
        ("a.csv", "_quarantine_id,id\nID,1.5\n", "has '1.5' for 'id'"),
        ("a.csv", "_quarantine_id,nam\nID,b\n", "no column 'nam'(?s:.)*did you mean 'name'"),
    ],
)
def test_a_mended_file_at_fault_is_refused_and_nothing_changes(
    lake: IcebergLake, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    before, file = versions(lake), tmp_path / name
    if text is not None:
        file.write_text(text.replace("ID", versions(lake)[0]["_quarantine_id"]))
    with pytest.raises(DataError, match=said):
        replayed(lake, "p1", mended=file)
    assert (versions(lake), published(lake)) == (before, [1])


def test_a_masked_column_is_not_mended_by_a_file(lake: IcebergLake, tmp_path: Path) -> None:
    file = exported(lake, tmp_path / "bad.csv")
    assert replayed(lake, "p1", NAMED, mended=file, masked=("name",)).released == 1
    file = mend_csv(exported(lake, tmp_path / "bad.csv"), lambda row: {**row, "name": "raw"})
    with pytest.raises(DataError, match="another value for 'name', which is masked"):
        replayed(lake, "p2", NAMED, mended=file, masked=("name",))


def test_a_rule_that_answers_by_chance_is_refused(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onward.stages.validate.quarantine.replay._count", lambda rows: 2)
    with pytest.raises(DataError, match="two answers"):
        replayed(lake, "p1", POSITIVE)


def test_a_check_that_does_not_fit_is_refused(lake: IcebergLake) -> None:
    with pytest.raises(DeclarationError, match="did you mean 'x'"):
        replayed(lake, "p1", ow.check("c", _.xx > 0))
