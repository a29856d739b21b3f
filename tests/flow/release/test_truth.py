"""What came true of predictions: by their units or their ids, the newest statement of each."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from onward.flow.release.loss import LOSSES
from onward.flow.release.truth import _TRUTH
from onward.stages.serve.release.config import SHADOW
from onward.stages.serve.routes import CHAMPION

START = datetime(2026, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


def hours(*of: int) -> pa.Array:
    return pa.array([START + timedelta(hours=n) for n in of], TIME)


def known(unit: list[Any], store: list[str], label: list[Any], at: pa.Array) -> pa.Table:
    return pa.table({"unit": unit, "store": store, "label": label, "available_at": at})


def told(*said: tuple[str, str, float | None, str | None]) -> pa.Table:
    """Return feedback, the later said the later in the list."""
    names = ("prediction", "name", "value", "text")
    types = (pa.string(), pa.string(), pa.float64(), pa.string())
    columns = {
        name: pa.array([one[n] for one in said], kind)
        for n, (name, kind) in enumerate(zip(names, types, strict=True))
    }
    return pa.table({**columns, "model": ["m"] * len(said), "at": hours(*range(len(said)))})


def asked(query: str, rows: pa.Table, feedback: pa.Table, task: Any) -> list[tuple[Any, ...]]:
    """Ask of four predictions: two of the unit 7|s1, one of 8|s1, an old one."""
    predictions = pa.table({
        "id": ["a", "b", "c", "old", "other"], "model": [*"mmmm", "n"],
        "unit": ["7|s1", "7|s1", "8|s1", "7|s1", "7|s1"], "at": hours(1, 2, 3, 0, 3),
        "arm": [CHAMPION] * 5, "release": ["r.1"] * 5,
    })  # fmt: skip
    unit = 'concat_ws(\'|\', CAST("unit" AS VARCHAR), CAST("store" AS VARCHAR))'
    parts = {"unit": unit, "chosen": "true", "champion": CHAMPION, "shadow": SHADOW}
    with duckdb.connect() as connection:
        for name, table in (("predictions", predictions), ("known", rows), ("feedback", feedback)):
            connection.register(name, table)
        text = query.format(**parts, **asdict(LOSSES[task]))
        return connection.execute(text, ["m", START + timedelta(hours=1)]).fetchall()


def found(rows: pa.Table, feedback: pa.Table, *, task: Any = "binary") -> list[tuple[Any, ...]]:
    """Return what is known of each prediction."""
    return asked(
        f"{_TRUTH} SELECT id, label, told, reward FROM k ORDER BY id", rows, feedback, task
    )


def test_rows_tell_of_all_of_a_units_predictions_and_the_last_known_counts() -> None:
    rows = known([7, 7, 8], ["s1", "s1", "s2"], [0, 1, 1], hours(1, 5, 1))
    assert found(rows, told()) == [
        ("a", 1.0, False, None), ("b", 1.0, False, None), ("c", None, False, None),
    ]  # fmt: skip


def test_feedback_tells_of_one_prediction_goes_before_rows_and_may_be_corrected() -> None:
    rows = known([7], ["s1"], [1], hours(1))
    said = told(
        ("a", "label", 1.0, None), ("a", "label", 0.0, None), ("a", "reward", 2.5, None),
        ("c", "speed", 1.0, None), ("other", "label", 1.0, None),
    )  # fmt: skip
    assert found(rows, said) == [
        ("a", 0.0, True, 2.5), ("b", 1.0, False, None), ("c", None, False, None),
    ]  # fmt: skip


def test_classes_are_told_as_text_or_whole_numbers() -> None:
    rows = known([7], ["s1"], ["kept"], hours(1))
    said = told(("a", "label", 3.0, None), ("c", "label", None, "back"))
    assert [row[1] for row in found(rows, said, task="multiclass")] == ["3", "kept", "back"]


def test_no_two_tables_are_compared_row_by_row() -> None:
    """Among ten million predictions that would take minutes."""
    rows = known([7], ["s1"], [1], hours(1))
    said = told(("a", "label", 1.0, None))
    [(_, plan)] = asked(f"EXPLAIN {_TRUTH} SELECT * FROM k", rows, said, "binary")
    assert "HASH_JOIN" in plan
    assert not re.search("NL_JOIN|NESTED|CROSS", plan), plan
