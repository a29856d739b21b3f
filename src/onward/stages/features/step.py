"""The room's verbs: publish views and materialize them, build training sets, compute again."""

from __future__ import annotations

from onward.stages.features.incremental import behind
from onward.stages.features.labels import labels
from onward.stages.features.materialization import materialize
from onward.stages.features.publication import publish
from onward.stages.features.recomputation import recompute, vectors
from onward.stages.features.training import request_features, training_set
from onward.stages.features.versions import columns_of, current_version, table_of, versions_of

__all__ = [
    "behind",
    "columns_of",
    "current_version",
    "labels",
    "materialize",
    "publish",
    "recompute",
    "request_features",
    "table_of",
    "training_set",
    "vectors",
    "versions_of",
]
