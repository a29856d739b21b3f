"""The room's verbs: publish views, build training sets, compute features for requests."""

from __future__ import annotations

from onward.stages.features.labels import labels
from onward.stages.features.publication import publish
from onward.stages.features.training import recompute, request_features, training_set

__all__ = ["labels", "publish", "recompute", "request_features", "training_set"]
