"""Training sets without a subject: its rows go, the file keeps its name and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from onward.core.records import Subject
from onward.stages.features.erase import ERASED, erase_training_sets

SUBJECT = Subject(columns=("who", "buyer"), values=frozenset({"7"}), units=frozenset({"2|b"}))


def put(folder: Path, name: str) -> Path:
    columns = {"n": [1, 2, 3], "s": ["a", "b", "c"], "who": [7, 8, None], "x": [0.1, 0.2, 0.3]}
    table = pa.table(columns)
    path = folder / f"{name}.parquet"
    plan = {"onward.plan": json.dumps({"key": ["n", "s"]})}
    pq.write_table(table.replace_schema_metadata(plan), path)
    return path


def test_rows_go_by_column_and_by_key(tmp_path: Path) -> None:
    path = put(tmp_path, "a")
    (tmp_path / ".half.parquet.1.part").write_text("left by a crash")
    assert erase_training_sets(tmp_path, SUBJECT, dry_run=True) == 2
    assert pq.read_table(path).num_rows == 3
    assert erase_training_sets(tmp_path, SUBJECT) == 2
    left = pq.read_table(path)
    assert left.to_pylist() == [{"n": 3, "s": "c", "who": None, "x": 0.3}]
    assert left.schema.metadata[ERASED.encode()] == b"true"
    assert json.loads(left.schema.metadata[b"onward.plan"]) == {"key": ["n", "s"]}
    assert list(tmp_path.iterdir()) == [path]
    assert erase_training_sets(tmp_path, SUBJECT) == 0


def test_a_set_without_the_subject_is_not_touched(tmp_path: Path) -> None:
    path = put(tmp_path, "a")
    before = path.read_bytes()
    nobody = Subject(columns=("who",), values=frozenset({"9"}))
    assert erase_training_sets(tmp_path, nobody) == 0
    assert path.read_bytes() == before
    assert erase_training_sets(tmp_path / "none", nobody) == 0
