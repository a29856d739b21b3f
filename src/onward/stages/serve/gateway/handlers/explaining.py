"""Exact explanations of a model: what each feature adds to a prediction, as Shapley values.

Trees by TreeSHAP (Lundberg et al. 2020, by the `shap` library), linear models in closed form
(Štrumbelj and Kononenko 2014: a coefficient times the feature's distance from its mean). Others
would have to be sampled, which is neither exact nor quick, so they are refused. What transformers
made of a feature, as a one-hot encoder does, is added up to it; those that mix features are
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from onward.core.errors import OnwardError
from onward.stages.serve.gateway.models.model import ServedModel, frame_of
from onward.stages.serve.gateway.models.runtimes import Texts
from onward.stages.serve.gateway.protocol.content import RefusedError

if TYPE_CHECKING:
    import numpy as np

TOLERANCE = 1e-5
"""How far, relative to 1 or to the value, base and contributions may miss a prediction: some trees
count in float32.
"""

_FUNCTIONS: Final = {"python": "a Python function", "torch": "a PyTorch module"}

Scale = Literal["log-odds", "probability", "value"]
Shapley = Callable[["np.ndarray", Texts], tuple["np.ndarray", "np.ndarray"]]
"""From rows' numbers (n, n_features) and texts to the base values (width,) and the contributions
(n, n_features, width).
"""

Inner = Callable[["np.ndarray"], tuple["np.ndarray", "np.ndarray"]]
"""The same of an estimator that takes a matrix."""


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
    try:
        shapley = _shapley(model)
        base, parts = shapley(*model.background)
    except OnwardError:
        raise
    except Exception as error:
        kind = type(model.estimator).__name__
        raise _refusal(model, f"it is a {kind} ({type(error).__name__}: {error})") from error
    scale = _scale(model, base + parts.sum(axis=1))
    if scale is None:
        raise _refusal(model, "contributions do not add up to what it predicts")
    return Explainer(scale, shapley)


def _refusal(model: ServedModel, why: str) -> RefusedError:
    return RefusedError(
        501,
        f"model {model.name!r} version {model.version} cannot be explained: {why}",
        expected="trees or a linear model, alone or behind transformers that mix no columns",
    )


def _shapley(model: ServedModel) -> Shapley:
    import numpy as np

    if (library := getattr(model.estimator, "library", None)) in _FUNCTIONS:
        raise _refusal(model, f"it is {_FUNCTIONS[library]}, known by its answers alone")
    names = [column.name for column in model.plan.columns]
    before, last = None, model.estimator
    places = list(range(len(names)))
    if hasattr(last, "steps"):
        before, last = last[:-1], last[-1]
        for _, step in before.steps:
            places = [places[i] for i in origins(step, [names[i] for i in places])]

    def matrix(numbers: np.ndarray, texts: Texts) -> np.ndarray:
        if before is None or not before.steps:
            return numbers
        found = before.transform(frame_of(names, model.strings, numbers, texts))
        return np.asarray(found, dtype=np.float64)

    inner = _inner(last, matrix(*model.background))
    belongs = np.zeros((len(names), len(places)))
    belongs[places, range(len(places))] = 1.0

    def shapley(numbers: np.ndarray, texts: Texts) -> tuple[np.ndarray, np.ndarray]:
        base, found = inner(matrix(numbers, texts))
        return base, np.einsum("fm,nmw->nfw", belongs, found)

    return shapley


def origins(step: Any, names: Sequence[str]) -> list[int]:
    """Return, for each column that a fitted transformer makes, the place of the one it is made of.

    Raises
    ------
    ValueError
        It mixes columns, or does not say which it makes.
    """
    if hasattr(step, "transformers_"):
        parts = [
            (step.output_indices_[name], inner, _picked(columns, names))
            for name, inner, columns in step.transformers_
            if not (isinstance(inner, str) and inner == "drop")
        ]
        found: dict[int, int] = {}
        for made, inner, picked in parts:
            inside = origins(inner, [names[i] for i in picked])
            found |= {
                at: picked[i] for at, i in zip(range(made.start, made.stop), inside, strict=True)
            }
        return [found[at] for at in range(len(found))]
    if isinstance(step, str):  # "passthrough"
        return list(range(len(names)))
    if getattr(step, "drop_idx_", ...) is None:  # a one-hot encoder that drops nothing
        return [i for i, categories in enumerate(step.categories_) for _ in categories]
    if list(step.get_feature_names_out(list(names))) != list(names):
        raise ValueError(f"{type(step).__name__} mixes columns")
    return list(range(len(names)))


def _picked(columns: Any, names: Sequence[str]) -> list[int]:
    """Return the places of columns that are given by name, by place, by slice or by mask."""
    import numpy as np

    places = np.arange(len(names))
    if isinstance(columns, str):
        return [list(names).index(columns)]
    if not isinstance(columns, slice) and all(isinstance(column, str) for column in columns):
        return [list(names).index(column) for column in columns]
    return [int(place) for place in np.atleast_1d(places[columns])]


def _inner(estimator: Any, background: np.ndarray) -> Inner:
    if hasattr(estimator, "coef_") and hasattr(estimator, "intercept_"):
        return _linear(estimator, background)
    return _trees(estimator)


def _linear(estimator: Any, background: np.ndarray) -> Inner:
    import numpy as np

    weights = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))  # (width, n_features)
    mean = background.mean(axis=0)
    base = np.atleast_1d(estimator.intercept_) + weights @ mean

    def shapley(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return base, (rows - mean)[:, :, None] * weights.T[None]

    return shapley


def _trees(estimator: Any) -> Inner:
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

    wanted = model.call(*model.background)
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
