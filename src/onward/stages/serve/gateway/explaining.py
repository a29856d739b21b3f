"""Exact explanations of a model: what each feature adds to a prediction, as Shapley values.

Trees by TreeSHAP (Lundberg et al. 2020, by the `shap` library), linear models in closed form
(Štrumbelj and Kononenko 2014: a coefficient times the feature's distance from its mean). Others
would have to be sampled, which is neither exact nor quick, so they are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from onward.core.errors import OnwardError
from onward.stages.serve.gateway.content import RefusedError
from onward.stages.serve.gateway.model import ServedModel

if TYPE_CHECKING:
    import numpy as np

TOLERANCE = 1e-5
"""How far, relative to 1 or to the value, base and contributions may miss a prediction: some trees
count in float32.
"""

Scale = Literal["log-odds", "probability", "value"]
Shapley = Callable[["np.ndarray"], tuple["np.ndarray", "np.ndarray"]]
"""From (n, n_features) to the base values (width,) and contributions (n, n_features, width)."""


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains predictions on a scale: contributions and base add up to what the model gave."""

    scale: Scale
    shapley: Shapley


def explainer(model: ServedModel) -> Explainer:
    """Return the model's explainer, tried on its golden rows.

    Raises
    ------
    RefusedError
        The model has no exact explanation (501).
    """
    if model.strings:
        raise _refusal(model, "some of its features are texts")
    try:
        shapley = _shapley(model.estimator, model.background)
        base, parts = shapley(model.background)
    except OnwardError:
        raise
    except Exception as error:
        kind = type(model.estimator).__name__
        raise _refusal(model, f"it is a {kind} ({type(error).__name__})") from error
    scale = _scale(model, base + parts.sum(axis=1))
    if scale is None:
        raise _refusal(model, "contributions do not add up to what it predicts")
    return Explainer(scale, shapley)


def _refusal(model: ServedModel, why: str) -> RefusedError:
    return RefusedError(
        501,
        f"model {model.name!r} version {model.version} cannot be explained: {why}",
        expected="trees or a linear model on numbers, alone or behind one-to-one transformers",
    )


def _shapley(estimator: Any, background: np.ndarray) -> Shapley:
    steps = getattr(estimator, "steps", None)
    if steps is not None:
        before, last = estimator[:-1], estimator[-1]
        width = background.shape[1]
        inner = _shapley(last, _transformed(before, background, width))
        return lambda rows: inner(_transformed(before, rows, width))
    if hasattr(estimator, "coef_") and hasattr(estimator, "intercept_"):
        return _linear(estimator, background)
    return _trees(estimator)


def _transformed(before: Any, rows: np.ndarray, width: int) -> np.ndarray:
    import numpy as np

    found = np.asarray(before.transform(rows), dtype=np.float64) if len(before.steps) else rows
    if found.shape[1] != width:
        raise ValueError("its transformers make other columns")
    return found


def _linear(estimator: Any, background: np.ndarray) -> Shapley:
    import numpy as np

    weights = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))  # (width, n_features)
    mean = background.mean(axis=0)
    base = np.atleast_1d(estimator.intercept_) + weights @ mean

    def shapley(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return base, (rows - mean)[:, :, None] * weights.T[None]

    return shapley


def _trees(estimator: Any) -> Shapley:
    import numpy as np

    try:
        import shap
    except ModuleNotFoundError:
        raise RefusedError(
            501, "trees are explained by SHAP, which is not installed", expected="onward[explain]"
        ) from None
    found = shap.TreeExplainer(estimator)

    def shapley(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = np.asarray(found.shap_values(rows, check_additivity=False), dtype=np.float64)
        base = np.atleast_1d(np.asarray(found.expected_value, dtype=np.float64))
        if values.ndim == 2:
            values = values[:, :, None]
        if values.shape[2] == 2:  # two classes: the second is what is predicted
            values, base = values[:, :, 1:], base[-1:]
        return base[-values.shape[2] :], values

    return shapley


def _scale(model: ServedModel, margins: np.ndarray) -> Scale | None:
    """Return the scale on which (n, width) margins are the predictions of the golden rows."""
    import numpy as np

    wanted = model.call(model.background, [()] * len(model.background))
    if margins.shape != wanted.shape:
        return None

    def close(found: np.ndarray) -> bool:
        return bool(np.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE))

    if close(margins):
        return "value" if model.task == "regression" else "probability"
    if model.task == "binary" and close(1 / (1 + np.exp(-margins))):
        return "log-odds"
    if model.task == "multiclass":
        powers = np.exp(margins - margins.max(axis=1, keepdims=True))
        if close(powers / powers.sum(axis=1, keepdims=True)):
            return "log-odds"
    return None
