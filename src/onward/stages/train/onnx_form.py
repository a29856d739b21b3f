"""The ONNX form of a fitted estimator, kept only if it answers what the estimator answers.

No form is right for every estimator: converters write some that do not load and some that answer
otherwise. So each is tried on the held-out rows, and the first that agrees is taken.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from onward.core.declarations import Task
from onward.core.errors import DeclarationError, Location
from onward.core.estimator import predictions_of
from onward.core.wording import counted
from onward.stages.train.onnx_converters import MATRIX, Form, forms

TOLERANCE: Final = 1e-5
"""How far, relative to 1 or to the value, an ONNX form's answers may be from the estimator's: most
forms count in float32.
"""

GAPS: Final = "onward.gaps"
"""What an ONNX form's metadata says of rows with a value missing: ``taken``, or ``left`` to the
estimator, as the form answers otherwise on them or the estimator refuses them.
"""

_ROWS: Final = 10_000


@dataclass(frozen=True)
class _Trial:
    """Rows, and what the estimator says of them: None where it refuses them."""

    what: str
    rows: pd.DataFrame
    answers: np.ndarray | None


@dataclass(frozen=True, order=True)
class _Difference:
    apart: float
    text: str


def onnx_form(
    estimator: Any, x: pd.DataFrame, task: Task, model: str, location: Location | None
) -> bytes:
    """Convert an estimator, and compare on up to 10,000 rows of `x`, whole and with values missing.

    Raises
    ------
    DeclarationError
        The libraries are not installed, there is no ONNX form, or it answers otherwise.
    """
    trials = _trials(estimator, x, task)
    failures: list[str] = []
    differences: list[_Difference] = []
    try:
        import onnxruntime  # noqa: F401 (before anything is converted)

        possible = forms(estimator, x)
    except ImportError as error:
        raise DeclarationError(
            f"model {model!r} is to be served by ONNX Runtime, and {error.name} is not installed",
            next_step="pip install 'onward[onnx]'",
            location=location,
        ) from error
    for form in possible:
        try:
            content, difference = _tried(form, trials, task)
        except Exception as error:  # converters and the runtime raise what they like
            failures.append(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
            continue
        if difference is None:
            return content
        differences.append(difference)
    kind = type(getattr(estimator, "function", estimator)).__name__
    nearest = min(differences, default=None)
    raise DeclarationError(
        f"model {model!r} has no ONNX form that answers as it does: "
        + (nearest.text if nearest else failures[0] if failures else f"nothing converts a {kind}"),
        expected=f"a conversion that answers within {TOLERANCE:g}",
        next_step="leave runtime='onnx' out of @ow.model",
        location=location,
    )


def _trials(estimator: Any, x: pd.DataFrame, task: Task) -> list[_Trial]:
    """Return whole rows with their answers, if there are any, and then rows with gaps."""
    picked = x.iloc[np.unique(np.linspace(0, len(x) - 1, _ROWS).astype(int))]
    gaps = picked.isna().any(axis=1)
    holed = picked.copy()
    for place in range(holed.shape[1]):
        holed.iloc[place :: holed.shape[1], place] = None
    holed = pd.concat([picked[gaps], holed])
    try:
        answers = np.asarray(predictions_of(estimator, holed, task), dtype=np.float64)
    except Exception:  # whatever it says of missing values
        answers = None
    if answers is not None and not np.isfinite(answers).all():
        answers = None
    with_gaps = _Trial("held-out rows with a value missing", holed, answers)
    if gaps.all():
        return [with_gaps]
    whole = np.asarray(predictions_of(estimator, picked[~gaps], task), dtype=np.float64)
    return [_Trial("whole held-out rows", picked[~gaps], whole), with_gaps]


def _tried(form: Form, trials: list[_Trial], task: Task) -> tuple[bytes, _Difference | None]:
    """Return an ONNX model's bytes, and where it differs most, if it may not be used."""
    import onnx
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = form()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        written.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    judged, with_gaps = trials[0], trials[-1]
    difference = _difference(session, judged, task)
    left = judged is not with_gaps and _difference(session, with_gaps, task) is not None
    onnx.helper.set_model_props(written, {GAPS: "left" if left else "taken"})
    content: bytes = written.SerializeToString()
    return content, difference


def _difference(session: Any, trial: _Trial, task: Task) -> _Difference | None:
    """Return where a session's answers are furthest from the estimator's, if beyond tolerance."""
    expected = trial.answers
    if expected is None:
        return _Difference(np.inf, f"the estimator refuses {trial.what}")
    found = _answers(session, trial.rows, task)
    if found.shape != expected.shape:
        return _Difference(np.inf, f"{found.shape} for {counted(len(expected), 'row')}")
    apart = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    by_row = np.nan_to_num(apart, nan=np.inf).reshape(len(expected), -1).max(axis=1)
    wrong, worst = int((by_row > TOLERANCE).sum()), int(by_row.argmax())
    if not wrong:
        return None
    return _Difference(
        float(by_row[worst]),
        f"it differs in {wrong:,} of {len(by_row):,} {trial.what}, by up to {by_row[worst]:.2g} "
        f"(row {worst + 1}: {found[worst].tolist()} for {expected[worst].tolist()})",
    )


def _answers(session: Any, rows: pd.DataFrame, task: Task) -> np.ndarray:
    """Return what a session says of rows, in the shape of `predictions_of`."""
    inputs = {given.name: _dtype(given.type) for given in session.get_inputs()}
    if MATRIX in inputs:
        feeds = {MATRIX: rows.to_numpy(inputs[MATRIX])}
    else:
        texts = {name for name, dtype in inputs.items() if dtype is object}
        feeds = {
            name: (rows[[name]].fillna("") if name in texts else rows[[name]]).to_numpy(dtype)
            for name, dtype in inputs.items()
        }
    found = np.asarray(session.run([session.get_outputs()[-1].name], feeds)[0])
    return found if task == "multiclass" else found.reshape(len(rows), -1)[:, -1]


def _dtype(kind: str) -> Any:
    return {"tensor(double)": np.float64, "tensor(float)": np.float32}.get(kind, object)
