"""What a user declares about a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onward.core.clock import duration
from onward.core.declarations import (
    Model,
    Runtime,
    SearchDimension,
    Task,
    defaults_of,
    flattened,
    parameters_of,
    require_name,
)
from onward.core.declared import first_paragraph, of_function
from onward.core.errors import DeclarationError, unknown_name


def model(
    *,
    features: Any,
    label: Any,
    task: Task,
    search: Mapping[str, SearchDimension] | None = None,
    holdout: float = 0.2,
    window: str | None = None,
    slices: Sequence[str] = (),
    runtime: Runtime | None = None,
    description: str | None = None,
    owner: str = "",
    tags: Sequence[str] = (),
) -> Callable[..., Any]:
    """Declare a model: a decorator for ``function(X, y, **hyperparameters) -> estimator``.

    The function returns a fitted estimator, asked by ``predict_proba`` (``predict``, for a
    regression), or a function of X. That gives P(class 1), shape (n,), for a binary task; the
    probabilities of the sorted classes, shape (n, n_classes), for a multiclass one; values, shape
    (n,), for a regression.

    Parameters
    ----------
    features
        Feature views, or parts of them, on-demand functions, and feature services.
    label
        What `onward.label` declared.
    task
        ``"binary"``, ``"multiclass"`` or ``"regression"``.
    search
        Ranges for `onward experiment`, by hyperparameter.
    holdout
        The share of newest rows, by event time, that evaluation keeps to itself.
    window
        Train on no more than this much history (``"90d"``); all of it unless given.
    slices
        Request columns whose values evaluation reports separately.
    runtime
        ``"onnx"``: convert what was returned, hold it to the same answers, and serve it by ONNX
        Runtime. Unless given, the gateway calls what was returned by the fastest way it knows.
    description, owner, tags
        What it predicts (unless given, the first paragraph of the function's docstring), who
        answers for it, and words by which it is found.
    """

    def declare(body: Callable[..., Any]) -> Model:
        location = of_function(body)
        parameters = defaults_of(body)
        if len(parameters_of(body)) < 2:
            raise DeclarationError(
                f"model {body.__name__!r} takes {parameters_of(body)}",
                expected="def name(X, y, hyperparameter=default, ...)",
                location=location,
            )
        if task not in ("binary", "multiclass", "regression"):
            what, expected = unknown_name("task", task, ("binary", "multiclass", "regression"))
            raise DeclarationError(what, expected=expected, location=location)
        for name in search or {}:
            if name not in parameters:
                what, expected = unknown_name("hyperparameter", name, parameters)
                raise DeclarationError(what, expected=expected, location=location)
        if runtime not in (None, "onnx"):
            what, expected = unknown_name("runtime", runtime, ("onnx",))
            raise DeclarationError(what, expected=expected, location=location)
        if window is not None:
            duration(window, location)
        if not 0 < holdout < 1:
            raise DeclarationError(
                f"holdout is {holdout}", expected="a share between 0 and 1", location=location
            )
        return Model(
            name=require_name(body.__name__, "model", location),
            function=body,
            features=flattened(features),
            label=label,
            task=task,
            parameters=parameters,
            search=dict(search or {}),
            holdout=holdout,
            window=window,
            slices=tuple(slices),
            runtime=runtime,
            description=first_paragraph(body) if description is None else description,
            owner=owner,
            tags=tuple(tags),
            location=location,
        )

    return declare
