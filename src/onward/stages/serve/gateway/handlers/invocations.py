"""MLflow's scoring protocol, ``POST /invocations``, for callers that speak it already.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally: a table in one of five forms.
Columns that are the model's request are answered as ``predict`` does, features looked up; columns
that are its features, or a matrix without names, as ``infer`` does.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from onward.core.errors import DataError, OnwardError, unknown_name
from onward.stages.serve.gateway.handlers.calls import Calls, encode, failure
from onward.stages.serve.gateway.protocol import content, inference
from onward.stages.serve.gateway.protocol.content import RefusedError
from onward.stages.serve.gateway.protocol.http import Headers
from onward.stages.serve.gateway.protocol.inference import InferCall
from onward.stages.serve.gateway.protocol.tensors import Input, JsonTensor
from onward.stages.serve.gateway.routing.job import Handler, Job, Part
from onward.stages.serve.gateway.routing.live import Live
from onward.stages.serve.gateway.routing.rows import sent_type

CSV: Final = frozenset({b"text/csv", b"application/csv"})
FORMS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
METHOD: Final = "predict_method"
"""The parameter that asks for probabilities, as MLflow's scikit-learn flavour names it."""

Row = Sequence[Any]


class Table(msgspec.Struct):
    """What a caller sent: rows of values, and their columns' names where there are any."""

    columns: list[str] | None
    rows: list[list[Any]]


class _Split(msgspec.Struct):
    columns: list[str]
    data: list[list[Any]]


class _Body(msgspec.Struct):
    dataframe_split: _Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: Any = None
    inputs: Any = None
    params: dict[str, Any] = {}


_decode: Final = msgspec.json.Decoder(_Body).decode


def invocations(live: Live, calls: Calls) -> Handler:
    """Return what answers for a model."""

    def handler(job: Job, body: bytes, headers: Headers) -> None:
        try:
            table, method = _read(calls.plain(job, body, headers, content.JSON | CSV), headers)
            job.parts = _parts(live, calls, table, headers)
        except OnwardError as error:
            status = error.status if isinstance(error, RefusedError) else 400
            job.ready(status, _error(status, str(error)))
            return
        job.reply = lambda job: _answer(job, method)

    return handler


def unchosen(served: Collection[str]) -> Handler:
    """Return what answers a caller that did not choose among the models, or chose none of them."""

    def handler(job: Job, _body: bytes, _headers: Headers) -> None:
        status, what = 400, f"{len(served)} models are served"
        expected = f"?model= with one of: {', '.join(sorted(served))}"
        for name in _named(job):
            if name in served:
                what, expected = "the query says more than ?model=", f"?model={name} alone"
            else:
                status = 404
                what, expected = unknown_name("model", name, served)
        job.ready(status, _error(status, f"{what}; {expected}"))

    return handler


def lone(name: str, invoked: Handler) -> Handler:
    """Return what answers where one model is served: its name may be left out, not mistaken."""
    mistaken = unchosen([name])

    def handler(job: Job, body: bytes, headers: Headers) -> None:
        asked = invoked if set(_named(job)) <= {name} else mistaken
        asked(job, body, headers)

    return handler


def _named(job: Job) -> list[str]:
    return parse_qs(job.query.decode(errors="replace")).get("model", [])


# ---------------------------------------------------------------- reading


def _read(body: bytes, headers: Headers) -> tuple[Table, str]:
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind in CSV:
        return _from_csv(body), "predict"
    try:
        found = _decode(body)
        table = _from_json(found)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(
            f"the body cannot be read: {error}", expected=f"JSON with one of: {', '.join(FORMS)}"
        ) from None
    if not table.rows:
        raise DataError("there are no rows", expected="one or more")
    method = found.params.get(METHOD, "predict")
    if method not in ("predict", "predict_proba"):
        raise DataError(f"{METHOD} is {method!r}", expected="predict or predict_proba")
    return table, method


def _from_csv(body: bytes) -> Table:
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8-sig"))) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the body is no CSV: {error}", expected="CSV in UTF-8") from None
    if len(lines) < 2:
        raise DataError("there are no rows", expected="a line of names, and one or more of values")
    rows: list[list[Any]] = [[value or None for value in line] for line in lines[1:]]
    return _table(lines[0], rows)


def _from_json(body: _Body) -> Table:
    given = [name for name in FORMS if getattr(body, name) is not None]
    if len(given) != 1:
        raise DataError(
            f"the body has {given or 'no table'}", expected=f"one of: {', '.join(FORMS)}"
        )
    if body.dataframe_split is not None:
        return _table(body.dataframe_split.columns, body.dataframe_split.data)
    if body.dataframe_records is not None:
        return _records(body.dataframe_records)
    value = body.instances if body.instances is not None else body.inputs
    if isinstance(value, dict):  # a column each
        columns = [c if isinstance(c, list) else [c] for c in value.values()]
        if len({len(column) for column in columns}) != 1:
            raise DataError("the columns' lengths differ", expected="a value of each for each row")
        return _table([*value], [list(row) for row in zip(*map(_flat, columns), strict=True)])
    if not isinstance(value, list):
        raise DataError(f"{given[0]} is {value!r}", expected="a list of rows, or a list per column")
    if all(isinstance(row, dict) for row in value):
        return _records(value)
    return _table(None, [row if isinstance(row, list) else [row] for row in value])


def _flat(column: list[Any]) -> list[Any]:
    """Return a column of shape [n] or [n, 1] as [n]."""
    return [v[0] if isinstance(v, list) and len(v) == 1 else v for v in column]


def _records(records: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for record in records for name in record))
    return Table(names, [[record.get(name) for name in names] for record in records])


def _table(columns: list[str] | None, rows: list[list[Any]]) -> Table:
    width = len(rows[0]) if columns is None and rows else len(columns or ())
    for number, row in enumerate(rows):
        if len(row) != width:
            raise DataError(f"row {number} has {len(row)} values", expected=f"{width}")
    return Table(columns, rows)


# ---------------------------------------------------------------- predicting


def _parts(live: Live, calls: Calls, table: Table, headers: Headers) -> tuple[Part, ...]:
    plan = live.champion.model.plan
    named = set(table.columns or ())
    if {column.name for column in plan.request} <= named or not _is_features(live, named, table):
        return calls.parts(live, None, live.decoder.decode(_as_rows(live, table)), headers)
    part = calls.part(live, None, InferCall("", _tensors(live, table), (), {}), headers)
    part.places = list(range(len(part.units)))
    return (part,)


def _is_features(live: Live, named: set[str], table: Table) -> bool:
    """Whether a table is of features: it has all of them, or more of them than of the request."""
    plan = live.champion.model.plan
    features, request = ({c.name for c in columns} for columns in (plan.columns, plan.request))
    return (
        table.columns is None or features <= named or len(features & named) > len(request & named)
    )


def _as_rows(live: Live, table: Table) -> bytes:
    """Return the table as ``predict`` takes it; a text is what it says, as CSV has no types."""
    types = {c.name: sent_type(c) for c in live.champion.model.plan.request}
    names = table.columns or []
    rows = [
        {name: _typed(value, types.get(name, Any)) for name, value in zip(names, row, strict=True)}
        for row in table.rows
    ]
    return encode({"rows": rows})


def _typed(value: Any, kind: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return value  # the decoder says what is wrong with it


def _tensors(live: Live, table: Table) -> list[Input]:
    columns = live.champion.model.plan.columns
    n = len(table.rows)
    if table.columns is None:
        flat = [_number(value) for row in table.rows for value in row]
        return [_tensor("input", [n, len(table.rows[0])], "FP64", flat)]
    places = {name: place for place, name in enumerate(table.columns)}
    found: list[Input] = []
    for column in (column for column in columns if column.name in places):
        values = [row[places[column.name]] for row in table.rows]
        if column.dtype == "string":
            found.append(_tensor(column.name, [n], "BYTES", values))
        else:
            found.append(_tensor(column.name, [n], "FP64", [_number(v) for v in values]))
    return found


def _tensor(name: str, shape: list[int], datatype: str, values: list[Any]) -> JsonTensor:
    return JsonTensor(name, shape, datatype, msgspec.Raw(encode(values)))


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, bool) else _typed(value, float)


# ---------------------------------------------------------------- answering


def _answer(job: Job, method: str) -> tuple[int, bytes]:
    failed = failure(job.parts)
    if failed is not None:
        status, body = failed
        return status, _error(status, msgspec.json.decode(body)["error"])
    n = sum(len(part.units) for part in job.parts)
    predictions: list[Any] = [None] * n
    ids: list[Any] = [None] * n
    for part in job.parts:
        assert part.output is not None
        figures = inference.answers(part.target.model, part.output, likelihoods=method != "predict")
        for row, (place, figure) in enumerate(zip(part.places, figures, strict=True)):
            predictions[place] = figure
            ids[place] = part.ids[row] if part.ids else None
    return 200, encode({"predictions": predictions, "prediction_ids": ids})


def _error(status: int, text: str) -> bytes:
    code = "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR"
    return encode({"error_code": code, "message": text})
