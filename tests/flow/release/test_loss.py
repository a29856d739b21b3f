"""The loss of classes that versions number each in its own way."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from onward.flow.release.loss import LOSSES, named

CLASSES = pa.table(
    {
        "version": [1, 1, 2, 2, 2],
        "name": ["a", "c", "a", "b", "c"],
        "place": [1, 2, 1, 2, 3],
        "overall": [0, 2, 0, 1, 2],
    }
)
ASKED = pa.table(
    {
        "row": [0, 1, 2, 3],
        "version": [1, 1, 2, 1],
        "output": [1.0, 1.0, 2.0, 0.0],
        "outputs": [[0.25, 0.75], [0.25, 0.75], [0.25, 0.25, 0.5], [0.75, 0.25]],
        "label": ["c", "b", "c", None],
    }
)


def test_a_label_is_found_among_the_classes_of_the_version_that_answered() -> None:
    parts = LOSSES["multiclass"]
    with duckdb.connect() as connection:
        connection.register("k", ASKED)
        connection.register("classes", CLASSES)
        query = f"SELECT {parts.output}, {parts.loss} FROM k {parts.beside} ORDER BY k.row"
        found = connection.execute(query).fetchall()
    assert found == [(2, 0.0625), (2, (1 + 0.0625 + 0.5625) / 2), (2, 0.1875), (0, None)]


@pytest.mark.parametrize(
    ("labels", "names"), [([3, 7, None, 3], ["3", "7", None, "3"]), (["x", "y"], ["x", "y"])]
)
def test_labels_are_named(labels: list[object], names: list[str | None]) -> None:
    known = pa.table({"unit": range(len(labels)), "label": labels})
    assert named(known)["label"].to_pylist() == names
    assert named(known.slice(0, 0))["label"].to_pylist() == []
