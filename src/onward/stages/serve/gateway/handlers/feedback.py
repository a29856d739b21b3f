"""Feedback: what became known about predictions, told by their ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec

from onward.core.errors import DataError
from onward.stages.serve.gateway.handlers.aside import Aside
from onward.stages.serve.gateway.handlers.calls import Calls, encode
from onward.stages.serve.gateway.models.model import ServedModel
from onward.stages.serve.gateway.protocol.content import RefusedError
from onward.stages.serve.gateway.protocol.http import Headers
from onward.stages.serve.gateway.routing.job import Handler, Job
from onward.stages.serve.gateway.routing.live import Live
from onward.stages.serve.log.reader import GONE, answered_by
from onward.stages.serve.log.segment import Feedback

_SHOWN: Final = 5  # classes that a refusal names
MOST: Final = 10_000
"""How many statements one request may make."""


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is told of a prediction: its ``label``, a ``reward``, or a figure of another name."""

    prediction: str
    value: float | bool | str
    name: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,63}$")] = "label"


class FeedbackRequest(msgspec.Struct, frozen=True):
    """The body of a request."""

    feedback: list[Statement]


_decode: Final = msgspec.json.Decoder(FeedbackRequest).decode


def feedback(live: Live, calls: Calls, aside: Aside, folder: Path | None) -> Handler:
    """Return what takes feedback about a model's predictions, which are in the log in `folder`."""
    model = live.routes.model

    def handler(job: Job, body: bytes, headers: Headers) -> None:
        told = _read(calls.plain(job, body, headers))
        _require_fit(live.champion.model, told)
        at_us = calls.moment(headers)
        if folder is None:
            raise RefusedError(404, "this gateway keeps no prediction log: it knows no predictions")
        ids = [statement.prediction.removeprefix("prediction:") for statement in told]

        def known() -> None:
            _require_known(model, ids, answered_by(folder, ids))

        def taken(_: None) -> None:
            job.feedback = Feedback(
                at=[at_us] * len(told),
                model=[model] * len(told),
                prediction=ids,
                name=[statement.name for statement in told],
                value=[statement.value for statement in told],
            )
            job.logging = live.champion.logging
            job.reply = _taken

        aside.before(job, known, taken)

    return handler


def _read(body: bytes) -> list[Statement]:
    try:
        told = _decode(body).feedback
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(
            f"the body is no feedback: {error}",
            expected='{"feedback": [{"prediction": id, "value": …, "name": "label"}, …]}',
        ) from None
    if not told:
        raise DataError("there is no feedback", expected='{"feedback": [{…}, …]} with one or more')
    if len(told) > MOST:
        raise RefusedError(413, f"there are {len(told):,} statements; at most {MOST:,} are taken")
    return told


def _require_fit(model: ServedModel, told: Sequence[Statement]) -> None:
    """Refuse the whole request where a label is none of the model's, or a reward no number.

    A label of a class that the model has not seen is one all the same: its prediction was wrong.
    """
    for one in told:
        if (expected := _expected(one, model)) is not None:
            shown = f"{one.value:g}" if type(one.value) is float else json.dumps(one.value)
            raise DataError(
                f"{shown} is no {one.name} of model {model.name!r}, told of {one.prediction!r};"
                " nothing was taken",
                expected=expected,
            )


def _expected(one: Statement, model: ServedModel) -> str | None:
    """Return what a statement should have said, None where it is as it should be."""
    kind = type(one.value)
    if one.name == "reward":
        return None if kind is not str else "a number"
    if one.name != "label":
        return None
    if model.task == "regression":
        return None if kind is float else "a number"
    if model.task == "binary":
        return None if kind is not str and one.value in (0, 1) else "0, 1, true or false"
    text = isinstance(model.labels[0], str)
    fits = kind is str if text else kind is float and float(one.value).is_integer()
    classes = ", ".join(map(str, model.labels[:_SHOWN]))
    return (
        None if fits else f"a class, {'as text' if text else 'a whole number'}, such as {classes}"
    )


def _require_known(model: str, ids: Sequence[str], answered: Iterable[str | None]) -> None:
    """Refuse the whole request where an id is no prediction of the model, at the first that is not.

    One that has left the log for the lake is taken; who reads the feedback looks it up there.
    """
    for about, by in zip(ids, answered, strict=True):
        if by not in (model, GONE):
            what = "is no prediction" if by is None else f"is a prediction of {by!r}"
            raise RefusedError(
                404,
                f"{about!r} {what}, so it is none of {model!r}; nothing was taken",
                expected="an `id` that this model's predictions were answered with",
            )


def _taken(job: Job) -> tuple[int, bytes]:
    assert job.feedback is not None
    told = zip(job.told, job.feedback.prediction, job.feedback.name, strict=True)
    taken = [{"id": row, "prediction": about, "name": name} for row, about, name in told]
    return 200, encode({"model": job.feedback.model[0], "feedback": taken})
