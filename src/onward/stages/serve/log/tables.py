"""The log's rows as tables, as `fold` appends them to the lake, and back again as records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from onward.core.records import Prediction, Statement
from onward.stages.serve.log.reader import Logged, Told
from onward.stages.serve.log.segment import Batch, Header

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

    counts = [len(logged) for logged in batches]
    of_row = pa.array(np.repeat(np.arange(len(batches)), counts))

    def each(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
        """Return what a batch has once, for each of its rows."""
        return pa.array(values, kind).take(of_row)

    def rows(columns: Iterable[Iterable[Any]], kind: pa.DataType) -> pa.Array:
        return pa.array(list(chain.from_iterable(columns)), kind)

    headers = [logged.header for logged in batches]
    found = [logged.batch for logged in batches]
    addresses = [logged.address for logged in batches]
    outputs = [logged.output() for logged in batches]
    text, whole = pa.string(), pa.int64()
    return pa.table(
        {
            "id": rows(map(_ids, batches), text),
            "at": rows((b.at for b in found), whole).cast(pa.timestamp("us", tz="UTC")),
            "model": each((h.model for h in headers), text),
            "version": each((h.version for h in headers), whole),
            "image": each((h.image for h in headers), text),
            "release": each((h.release for h in headers), text),
            "arm": each((h.arm for h in headers), text),
            "unit": rows((b.unit for b in found), text),
            "status": rows((b.status for b in found), pa.int32()),
            "latency_us": rows((b.latency_us for b in found), whole),
            "request": rows(map(_requests, batches), text),
            "features": _lists([logged.features() for logged in batches]),
            "texts": rows((b.strings or [()] * len(b.at) for b in found), pa.list_(text)),
            "output": pa.array(np.concatenate([_single(o) for o in outputs]), from_pandas=True),
            "outputs": _lists(outputs, null=[h.width == 1 for h in headers]),
            "error": rows((b.errors or [None] * len(b.at) for b in found), text),
            "marks": rows(map(_marks, found), text),
            "segment": each((a.segment for a in addresses), pa.int32()),
            "offset": each((a.offset for a in addresses), whole),
        }
    )


def _ids(logged: Logged) -> list[str]:
    begin = str(logged.address._replace(row=0)).removesuffix("0")
    return [f"{begin}{row:x}" for row in range(len(logged))]


def _requests(logged: Logged) -> list[str]:
    return [json.dumps(logged.request(row), default=str) for row in range(len(logged))]


def _marks(batch: Batch) -> list[str | None]:
    if batch.marks is None:
        return [None] * len(batch.at)
    return [json.dumps(marks) if marks else None for marks in batch.marks]


def _single(output: np.ndarray) -> np.ndarray:
    """Return the one figure that stands for each row of (n, width) outputs."""
    import numpy as np

    if output.shape[1] == 1:
        return output.ravel()
    failed = np.isnan(output).any(axis=1)
    return np.where(failed, np.nan, np.nan_to_num(output).argmax(axis=1))


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


def _lists(matrices: Sequence[np.ndarray], *, null: Sequence[bool] = ()) -> pa.Array:
    """Return a list for each row of the (n, width) matrices; NULL for those of some of them."""
    import numpy as np
    import pyarrow as pa

    counts = [len(matrix) for matrix in matrices]
    widths = np.repeat([matrix.shape[1] for matrix in matrices], counts)
    offsets = np.concatenate([[0], np.cumsum(widths)]).astype("int32")
    values = pa.array(np.concatenate([matrix.ravel() for matrix in matrices]), from_pandas=False)
    mask = pa.array(np.repeat(np.array(null), counts)) if any(null) else None
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=mask)
