"""A model as the gateway holds it: loaded, checked against its golden rows, and warm."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from onward.core import digest
from onward.core.declarations import Task
from onward.core.errors import CorruptError, OnwardError
from onward.core.estimator import class_name
from onward.core.ports import RequestFeatures
from onward.core.records import FeaturePlan, Route
from onward.stages.serve.gateway.models.image import home
from onward.stages.serve.gateway.models.onnx_session import by_session
from onward.stages.serve.gateway.models.runtimes import Call, Figures, Texts, by_matrix, figures_of
from onward.stages.serve.gateway.models.views import ViewReader, readers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TOLERANCE: Final = 1e-9
"""How far, relative to 1 or to the value, two ways of calling a model may differ (BLAS's last
digits).
"""


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
    `labels` are a classifier's, in the order of their probabilities: all int, or all str. `classes`
    are the same as text: a multiclass model's, whose probabilities answers name by them.
    `runtime` is the way in which it is called: ``onnx``, ``frame``, or one of `runtimes`.
    """

    name: str
    version: int
    task: Task
    plan: FeaturePlan
    views: tuple[ViewReader, ...]
    strings: tuple[int, ...]
    width: int
    labels: tuple[int, ...] | tuple[str, ...]
    classes: tuple[str, ...]
    runtime: str
    request_features: RequestFeatures
    estimator: Any
    background: tuple[np.ndarray, Texts]
    call: Call


def load(folder: Path) -> ServedModel:
    """Load a version from an unpacked image's ``opt/onward``, and try it on its golden rows.

    A model with an ONNX form is called by that. Another one whose features are all numbers is
    called with a float64 matrix, by the fastest of its `runtimes`, where that gives what a
    DataFrame gives on the golden rows, without a warning; else with a DataFrame.

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
        onnx = trained / "model.onnx"
        form = onnx.read_bytes() if onnx.exists() else None
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
    classes = tuple(map(class_name, labels)) if about.task == "multiclass" else ()
    width = len(classes) or 1
    runtime, call = _called(estimator, about.task, names, strings, numbers)
    if form is not None:
        runtime, call = "onnx", by_session(form, names, strings, width, call)
    model = ServedModel(
        name=about.name,
        version=about.version,
        task=about.task,
        plan=plan,
        views=readers(plan),
        strings=strings,
        width=width,
        labels=labels,
        classes=classes,
        runtime=runtime,
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


def _called(
    estimator: Any, task: Task, names: list[str], strings: tuple[int, ...], numbers: np.ndarray
) -> tuple[str, Call]:
    """Return how an estimator is called, and its name; `numbers` are the golden rows'."""
    frame = _by_frame(estimator, task, names, strings)
    for name, figures in () if strings or not len(numbers) else by_matrix(estimator, task):
        if _agrees(figures, frame, numbers):
            return name, partial(_numbers_alone, figures)
    return "frame", frame


def _by_frame(estimator: Any, task: Task, names: list[str], strings: tuple[int, ...]) -> Call:
    predict = figures_of(estimator, task)
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


def _numbers_alone(figures: Figures, numbers: np.ndarray, _: Texts) -> np.ndarray:
    return figures(numbers)


def _agrees(figures: Figures, frame: Call, numbers: np.ndarray) -> bool:
    """Say whether a matrix gives what a DataFrame gives: on golden rows, and with values missing.

    Golden rows may all be whole where production's are not; where an estimator refuses a missing
    value, both ways must.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = figures(numbers)
        except Exception:  # an estimator may need names, and may say so in its own way
            return False
    if not _close(found, frame(numbers, [])):
        return False
    holed = numbers.copy()
    for row in range(len(holed)):
        holed[row, row % holed.shape[1]] = float("nan")
    given, expected = _tried(figures, holed), _tried(lambda rows: frame(rows, []), holed)
    if given is None or expected is None:
        return given is expected
    return _close(given, expected)


def _tried(call: Figures, rows: np.ndarray) -> np.ndarray | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(rows)
        except Exception:  # whatever it says of missing values
            return None


def _close(found: np.ndarray, expected: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    import numpy as np

    return bool(np.allclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True))


def _require_golden(
    model: ServedModel, numbers: np.ndarray, texts: Texts, golden: Mapping[str, Any]
) -> None:
    import numpy as np

    if not len(numbers):
        return
    found = model.call(numbers, texts)
    expected = np.asarray(golden["predictions"], dtype=np.float64).reshape(found.shape)
    tolerance = golden["tolerance"]
    if not _close(found, expected, tolerance):
        worst = float(np.nanmax(np.abs(found - expected)))
        raise CorruptError(
            f"model:{model.name}@{model.version} predicts otherwise here than in training",
            expected=f"golden predictions within {tolerance:g}; they differ by up to {worst:.3g}",
            next_step="serve with the library versions in the image's requirements.txt",
        )


def _labels(classes: Any) -> tuple[int, ...] | tuple[str, ...]:
    values = list(classes.tolist() if hasattr(classes, "tolist") else classes)
    if all(isinstance(value, int) for value in values):
        return tuple(int(value) for value in values)
    return tuple(str(value) for value in values)


def load_route(route: Route, cache: Path) -> ServedModel:
    """Unpack and load a route's image.

    Raises
    ------
    CorruptError
        It cannot be used, or is another version's.
    """
    model = load(home(route.image, cache))
    wanted = route.image.model
    if (model.name, model.version) != (wanted.name, wanted.version):
        raise CorruptError(
            f"image {route.image.digest[:19]}… holds {model.name} version {model.version}",
            expected=f"{wanted.name} version {wanted.version}",
        )
    return model


def weight(route: Route, cache: Path) -> int:
    """Return the size of a route's version on the disk, in bytes; raises as `load_route` does."""
    files = (home(route.image, cache) / "model").rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
