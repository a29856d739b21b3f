"""Who writes an estimator as ONNX, and in which forms: scikit-learn's registry, or PyTorch."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onward.stages.train.function import PYTHON
from onward.stages.train.module import TORCH

if TYPE_CHECKING:
    import pandas as pd

_OPSETS: Final = {"": 21, "ai.onnx.ml": 3}

MATRIX: Final = "__rows__"
"""The input that is the whole matrix."""

Form = Callable[[], Any]
"""Writes an ONNX ModelProto, or raises whatever its converter says."""


def forms(estimator: Any, x: pd.DataFrame) -> list[Form]:
    """Return the ways to write an estimator of rows like `x`, the most exact and fastest first.

    One matrix in float64, in float32; the same with a tensor for each column, named after it,
    which text needs and whatever picks its columns by name.

    Raises
    ------
    ImportError
        A converter's library is not installed.
    """
    library = getattr(estimator, "library", None)
    if library == PYTHON:
        return []
    if library == TORCH:
        return [partial(_of_module, estimator.function.module, x.shape[1])]
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    _register_boosters()
    texts = {name for name in x if x[name].dtype != np.float64}
    inputs = [
        [(MATRIX, numbers([None, x.shape[1]]))] for numbers in (DoubleTensorType, FloatTensorType)
    ]
    by_name = [
        [(name, (StringTensorType if name in texts else numbers)([None, 1])) for name in x]
        for numbers in (DoubleTensorType, FloatTensorType)
    ]
    return [partial(_of_sklearn, estimator, i) for i in (by_name if texts else inputs + by_name)]


def _of_sklearn(estimator: Any, inputs: list[tuple[str, Any]]) -> Any:
    from skl2onnx import to_onnx

    if any(not _finite(tree) for tree in _trees(estimator)):
        raise ValueError("a tree splits between what is missing and what is not")
    if type(estimator).__module__.startswith("xgboost"):
        estimator = copy.deepcopy(estimator)
        estimator.get_booster().feature_names = None  # the converter wants f0, f1, …
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    return to_onnx(estimator, initial_types=inputs, options=options, target_opset=_OPSETS)


def _trees(value: Any) -> Iterator[Any]:
    """Yield scikit-learn's decision trees in an estimator and in those within it."""
    if hasattr(value, "tree_"):
        yield value.tree_
    inner: Any = ()
    if isinstance(value, (list, tuple)):
        inner = value
    elif getattr(value, "dtype", None) is np.dtype(object):
        inner = value.ravel()
    elif hasattr(value, "get_params") and not isinstance(value, type):
        inner = vars(value).values()
    for each in inner:
        yield from _trees(each)


def _finite(tree: Any) -> bool:
    """Say whether all thresholds are numbers: on an infinite one skl2onnx 1.20 never ends."""
    return all(abs(threshold) < float("inf") for threshold in tree.threshold.tolist())


def _of_module(module: Any, width: int) -> Any:
    import torch

    rows = torch.export.Dim("rows")
    program = torch.onnx.export(
        module,
        (torch.zeros(2, width),),
        input_names=[MATRIX],
        dynamic_shapes=({0: rows},),
        dynamo=True,
        verbose=False,
    )
    return program.model_proto


def _register_boosters() -> None:
    """Tell scikit-learn's converter of LightGBM's and XGBoost's, where these are in use."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator

    classifier = {
        "shape_fct": shape_calculator.calculate_linear_classifier_output_shapes,
        "options": {"nocl": [True, False], "zipmap": [True, False, "columns"]},
    }
    regressor = {
        "shape_fct": shape_calculator.calculate_linear_regressor_output_shapes,
        "options": {"split": None},
    }
    if (lightgbm := sys.modules.get("lightgbm")) is not None:
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        for kind, words in (
            (lightgbm.LGBMClassifier, classifier),
            (lightgbm.LGBMRegressor, regressor),
        ):
            update_registered_converter(
                kind, f"LightGbm{kind.__name__}", convert_fct=convert_lightgbm, **words
            )
    if (xgboost := sys.modules.get("xgboost")) is not None:
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        for kind, words in ((xgboost.XGBClassifier, classifier), (xgboost.XGBRegressor, regressor)):
            update_registered_converter(
                kind, f"XGBoost{kind.__name__}", convert_fct=convert_xgboost, **words
            )
