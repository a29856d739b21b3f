"""A model as the gateway holds it: loaded, checked against its golden rows, and warm."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from onward.core import digest
from onward.core.declarations import Task
from onward.core.errors import CorruptError, OnwardError
from onward.core.ports import RequestFeatures
from onward.core.records import FeaturePlan
from onward.stages.serve.gateway.lookup import ViewReader, readers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TOLERANCE: Final = 1e-9
"""How far, relative to 1 or to the value, a golden prediction may differ (BLAS's last digits)."""

Texts = Sequence[Sequence[str | None]]


class About(msgspec.Struct, frozen=True):
    """`model.json`: which version the folder beside it is."""

    name: str
    version: int
    digest: str
    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A loaded version.

    `call` takes the numbers (n, n_features; NaN in text columns) and the rows of text features,
    and returns (n, width): P(class 1), the value, or each class's probability.
    `estimator` is what was trained, `background` the numbers and texts of its golden rows.
    `labels` are a classifier's, in the order of their probabilities: all int, or all str.
    """

    name: str
    version: int
    task: Task
    plan: FeaturePlan
    views: tuple[ViewReader, ...]
    strings: tuple[int, ...]
    width: int
    labels: tuple[int, ...] | tuple[str, ...]
    by_matrix: bool
    request_features: RequestFeatures
    estimator: Any
    background: tuple[np.ndarray, Texts]
    call: Callable[[np.ndarray, Texts], np.ndarray]


def load(folder: Path) -> ServedModel:
    """Load a version from an unpacked image's ``opt/onward``, and try it on its golden rows.

    An estimator whose features are all numbers is called with a float64 matrix where that gives
    what a DataFrame gives on the golden rows, without a warning; else with a DataFrame.

    Raises
    ------
    CorruptError
        The folder is not what was registered, cannot be read, or predicts something else.
    """
    trained = folder / "model"
    try:
        about = msgspec.json.decode((folder / "model.json").read_bytes(), type=About)
        digest.require(trained, about.digest, f"model:{about.name}@{about.version}")
        plan = msgspec.json.decode((trained / "plan.json").read_bytes(), type=_Planned).plan
        with (trained / "model.pkl").open("rb") as file:
            estimator = pickle.load(file)
        with (trained / "request_features.pkl").open("rb") as file:
            request_features = pickle.load(file)
        golden = json.loads((trained / "golden.json").read_bytes())
    except OnwardError:
        raise
    except Exception as error:
        raise CorruptError(
            f"the model in {folder} cannot be loaded: {type(error).__name__}: {error}",
            next_step="see that the gateway's environment is the one in environment.json",
        ) from error
    labels = () if about.task == "regression" else _labels(estimator.classes_)
    strings = tuple(i for i, c in enumerate(plan.columns) if c.dtype == "string")
    numbers, texts = _golden_features(golden["features"], plan, strings)
    names = [c.name for c in plan.columns]
    frame = _by_frame(estimator, about.task, names, strings)
    matrix = None if strings or not len(numbers) else _by_matrix(estimator, about.task)
    call = frame
    if matrix is not None and _agrees(matrix, frame, numbers, texts):
        call = matrix
    model = ServedModel(
        name=about.name,
        version=about.version,
        task=about.task,
        plan=plan,
        views=readers(plan),
        strings=strings,
        width=len(labels) if about.task == "multiclass" else 1,
        labels=labels,
        by_matrix=call is matrix,
        request_features=request_features,
        estimator=estimator,
        background=(numbers, texts),
        call=call,
    )
    _require_golden(model, numbers, texts, golden)
    return model


class _Planned(msgspec.Struct):
    plan: FeaturePlan


def _golden_features(
    rows: Sequence[Sequence[Any]], plan: FeaturePlan, strings: Sequence[int]
) -> tuple[np.ndarray, list[tuple[str | None, ...]]]:
    import numpy as np

    numbers = np.full((len(rows), len(plan.columns)), np.nan)
    numeric = [i for i in range(len(plan.columns)) if i not in strings]
    for position in numeric:
        numbers[:, position] = np.array([row[position] for row in rows], dtype=np.float64)
    return numbers, [tuple(row[i] for i in strings) for row in rows]


def _by_frame(
    estimator: Any, task: Task, names: list[str], strings: tuple[int, ...]
) -> Callable[[np.ndarray, Texts], np.ndarray]:
    predict = _method(estimator, task)
    return lambda numbers, texts: predict(frame_of(names, strings, numbers, texts))


def frame_of(
    names: Sequence[str], strings: Sequence[int], numbers: np.ndarray, texts: Texts
) -> pd.DataFrame:
    """Return rows as the estimator saw them in training; `strings` are the places of the texts."""
    import pandas as pd

    if not strings:
        return pd.DataFrame(numbers, columns=list(names))
    columns: dict[str, Any] = {name: numbers[:, i] for i, name in enumerate(names)}
    for at, position in enumerate(strings):
        columns[names[position]] = pd.Series([row[at] for row in texts], dtype="str")
    return pd.DataFrame(columns)


def _by_matrix(estimator: Any, task: Task) -> Callable[[np.ndarray, Texts], np.ndarray]:
    """Call without names: on a copy that was never told any, so that none are missed."""
    nameless = copy.deepcopy(estimator)
    _forget_names(nameless, set())
    predict = _method(nameless, task)
    return lambda numbers, _: predict(numbers)


def _forget_names(value: Any, seen: set[int]) -> None:
    """Take scikit-learn's ``feature_names_in_`` from an estimator and from those within it."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, (list, tuple)):
        inner: Any = value
    elif hasattr(value, "get_params"):
        value.__dict__.pop("feature_names_in_", None)
        inner = value.__dict__.values()
    else:
        return
    for each in inner:
        _forget_names(each, seen)


def _method(estimator: Any, task: Task) -> Callable[[Any], np.ndarray]:
    import numpy as np

    if task == "binary":
        proba = estimator.predict_proba
        return lambda rows: np.asarray(proba(rows), dtype=np.float64)[:, 1:2]
    if task == "multiclass":
        proba = estimator.predict_proba
        return lambda rows: np.asarray(proba(rows), dtype=np.float64)
    predict = estimator.predict
    return lambda rows: np.asarray(predict(rows), dtype=np.float64).reshape(-1, 1)


def _agrees(
    matrix: Callable[[np.ndarray, Texts], np.ndarray],
    frame: Callable[[np.ndarray, Texts], np.ndarray],
    numbers: np.ndarray,
    texts: Texts,
) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = matrix(numbers, texts)
        except Exception:  # an estimator may need names, and may say so in its own way
            return False
    return _close(found, frame(numbers, texts))


def _close(found: np.ndarray, expected: np.ndarray) -> bool:
    import numpy as np

    return bool(np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))


def _require_golden(
    model: ServedModel, numbers: np.ndarray, texts: Texts, golden: Mapping[str, Any]
) -> None:
    import numpy as np

    if not len(numbers):
        return
    found = model.call(numbers, texts)
    expected = np.asarray(golden["predictions"], dtype=np.float64).reshape(found.shape)
    if not _close(found, expected):
        worst = float(np.nanmax(np.abs(found - expected)))
        raise CorruptError(
            f"model:{model.name}@{model.version} predicts otherwise here than in training",
            expected=f"golden predictions within {TOLERANCE:g}; they differ by up to {worst:.3g}",
            next_step="serve with the library versions in the image's requirements.txt",
        )


def _labels(classes: Any) -> tuple[int, ...] | tuple[str, ...]:
    values = list(classes.tolist() if hasattr(classes, "tolist") else classes)
    if all(isinstance(value, int) for value in values):
        return tuple(int(value) for value in values)
    return tuple(str(value) for value in values)
