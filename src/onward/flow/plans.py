"""How a registered version reads features: its plan, and what computes its on-demand features."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from onward.core import digest
from onward.core.declarations import Task
from onward.core.estimator import class_name
from onward.core.ports import RequestFeatures
from onward.core.records import FeaturePlan, ModelRef


@lru_cache(maxsize=64)
def plan_of(model: ModelRef) -> FeaturePlan:
    """Return a version's plan; its folder is checked the first time.

    Raises
    ------
    CorruptError
        The trained folder is not what was registered.
    """
    import msgspec

    folder = _folder(model)
    stored = msgspec.json.decode((folder / "plan.json").read_bytes())
    return msgspec.convert(stored["plan"], FeaturePlan)


@lru_cache(maxsize=64)
def task_of(model: ModelRef) -> Task:
    """Return what kind of answers a version gives; raise `CorruptError` as `classes_of` does."""
    task: Task = json.loads((_folder(model) / "plan.json").read_bytes())["task"]
    return task


@lru_cache(maxsize=64)
def classes_of(model: ModelRef) -> tuple[str, ...]:
    """Return the names of a version's classes in the order of its probabilities; of no regression.

    Raises
    ------
    CorruptError
        The trained folder is not what was registered.
    """
    stored = json.loads((_folder(model) / "plan.json").read_bytes())
    return tuple(map(class_name, stored["classes"] or ()))


def request_features_of(model: ModelRef) -> RequestFeatures:
    """Return what computes a version's on-demand features.

    Raises
    ------
    CorruptError
        The trained folder is not what was registered.
    """
    import cloudpickle

    file = _folder(model) / "request_features.pkl"
    found: RequestFeatures = cloudpickle.loads(file.read_bytes())
    return found


def _folder(model: ModelRef) -> Path:
    folder = Path(model.path)
    digest.require(folder, model.digest, model.ref)
    return folder
