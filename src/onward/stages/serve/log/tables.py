"""The log's rows as tables, as `fold` appends them to the lake, and back again as records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from onward.core.records import Prediction, Statement
from onward.stages.serve.log.reader import Logged, Told
from onward.stages.serve.log.segment import Header

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def predictions_table(batches: Sequence[Logged]) -> pa.Table:
    """Return the batches' rows, in order.

    Columns: ``id``, ``at``, ``model``, ``version``, ``image``, ``release``, ``arm``, ``unit``,
    ``status``, ``latency_us``, ``request`` (JSON), ``features`` (doubles in the plan's order, NaN
    for text), ``texts`` (its text features, in order), ``output`` (P(class 1), the value, or the
    likeliest class's index), ``outputs`` (of several figures all; NULL where there is one),
    ``error``, ``marks`` (JSON: by view, what stood in for a fresh row; NULL where every row was
    fresh), and ``segment`` and ``offset``: the id in numbers, by which files tell at once whether
    a row can be in them.
    """
    import numpy as np
    import pyarrow as pa

    parts = []
    for logged in batches:
        n, header, batch = len(logged), logged.header, logged.batch
        output = logged.output()
        outputs = _lists(output) if header.width > 1 else pa.nulls(n, pa.list_(pa.float64()))
        if header.width > 1:
            failed = np.isnan(output).any(axis=1)
            likeliest = np.where(failed, 0, np.nan_to_num(output).argmax(axis=1))
            output = np.where(failed, np.nan, likeliest)
        columns = {
            "id": pa.array([str(logged.address._replace(row=row)) for row in range(n)]),
            "at": pa.array(batch.at, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "model": pa.repeat(header.model, n),
            "version": pa.repeat(pa.scalar(header.version, pa.int64()), n),
            "image": pa.repeat(header.image, n),
            "release": pa.repeat(header.release, n),
            "arm": pa.repeat(header.arm, n),
            "unit": pa.array(batch.unit, pa.string()),
            "status": pa.array(batch.status, pa.int32()),
            "latency_us": pa.array(batch.latency_us, pa.int64()),
            "request": pa.array(
                [json.dumps(logged.request(row), default=str) for row in range(n)], pa.string()
            ),
            "features": _lists(logged.features()),
            "texts": pa.array(batch.strings or [()] * n, pa.list_(pa.string())),
            "output": pa.array(output.ravel(), from_pandas=True),
            "outputs": outputs,
            "error": pa.array(batch.errors or [None] * n, pa.string()),
            "marks": pa.array(
                [marks and json.dumps(marks) for marks in batch.marks or [None] * n], pa.string()
            ),
            "segment": pa.repeat(pa.scalar(logged.address.segment, pa.int32()), n),
            "offset": pa.repeat(pa.scalar(logged.address.offset, pa.int64()), n),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def columns_of(header: Header) -> str:
    """Return, as JSON, what the table does not say of a header's rows: the features' names."""
    return json.dumps({"features": header.features, "strings": header.strings})


def prediction(row: Mapping[str, Any], columns: str | None) -> Prediction:
    """Return a row of `predictions_table` as a record.

    `columns` is what `columns_of` gave for its image; without it features have numbers for names.
    """
    named = {"features": [str(i) for i in range(len(row["features"]))], "strings": []}
    named = json.loads(columns) if columns else named
    values: list[float | str | None] = [None if v != v else v for v in row["features"]]
    for position, text in zip(named["strings"], row["texts"], strict=False):
        values[position] = text
    output = row["output"] if row["outputs"] is None else row["outputs"]
    return Prediction(
        **{name: row[name] for name in _AS_THEY_ARE},
        request=json.loads(row["request"]),
        features=dict(zip(named["features"], values, strict=True)),
        output=output if row["status"] == 200 else None,
        marks=json.loads(row["marks"]) if row["marks"] else {},
    )


_AS_THEY_ARE: Final = (
    "id", "at", "model", "version", "image", "release", "arm", "unit", "status", "latency_us",
    "error",
)  # fmt: skip


def feedback_table(found: Sequence[Told]) -> pa.Table:
    """Return the statements, by the prediction that they are about, in order.

    Columns: ``id``, ``at``, ``model``, ``prediction`` (the id it is about), ``name``, and ``value``
    (numbers, and truth values as 1 and 0) or ``text``, of which one is NULL.
    """
    import pyarrow as pa

    rows = [
        {
            "id": str(told.address._replace(row=row)),
            "at": at,
            "model": model,
            "prediction": prediction,
            "name": name,
            "value": None if isinstance(value, str) or value is None else float(value),
            "text": value if isinstance(value, str) else None,
        }
        for told in found
        for row, (at, model, prediction, name, value) in enumerate(_statements(told))
    ]
    names = ("id", "model", "prediction", "name", "text")
    types = {name: pa.string() for name in names} | {"at": pa.int64(), "value": pa.float64()}
    table = pa.Table.from_pylist(rows, pa.schema({name: types[name] for name in rows[0]}))
    at = table["at"].cast(pa.timestamp("us", tz="UTC"))
    table = table.set_column(table.column_names.index("at"), "at", at)
    return table.sort_by("prediction")


def statement(row: Mapping[str, Any]) -> Statement:
    """Return a row of `feedback_table` as a record."""
    value = row["text"] if row["value"] is None else row["value"]
    return Statement(name=row["name"], value=value, at=row["at"])


def _statements(told: Told) -> zip[tuple[int, str, str, str, float | bool | str | None]]:
    told_of = told.feedback
    return zip(
        told_of.at, told_of.model, told_of.prediction, told_of.name, told_of.value, strict=True
    )


def _lists(matrix: np.ndarray) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    n, width = matrix.shape
    offsets = np.arange(0, (n + 1) * width, width) if width else np.zeros(n + 1)
    return pa.ListArray.from_arrays(
        pa.array(offsets.astype("int32")), pa.array(matrix.ravel(), from_pandas=False)
    )
