"""How a registered version reads features: its plan, and what computes its on-demand features."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from onward.core import digest
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
