"""Onward delivers machine-learning models continuously.

These are the names that a pipeline file and a notebook import; nothing else is public.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.core.errors import OnwardError
from onward.core.version import VERSION
from onward.flow.pipeline.declared import Pipeline
from onward.stages.deploy.config import Kubernetes, latency, replayed, under_load
from onward.stages.evaluate.config import at_least, beats_champion, fair, robust
from onward.stages.experiment.config import categorical, integer, real
from onward.stages.features.config import feature_view, label
from onward.stages.features.on_demand import on_demand
from onward.stages.features.service import feature_service
from onward.stages.features.windowed import windowed_view
from onward.stages.features.windows import window
from onward.stages.ingest.apis import dlt, http
from onward.stages.ingest.config import Source, micro_batch
from onward.stages.ingest.masks import drop, generalise, hashed, pseudonym, revealable
from onward.stages.ingest.origins import files, sql
from onward.stages.ingest.streams import kafka
from onward.stages.monitor.config import drift, freshness, operational, performance, skew
from onward.stages.retrain.config import retrain
from onward.stages.serve.config import Serving
from onward.stages.serve.release.config import BlueGreen, Canary, Guardrails, Shadow
from onward.stages.serve.release.split import ABTest, thompson
from onward.stages.train.config import model
from onward.stages.transform.config import (
    by_delta,
    by_partition,
    dbt,
    sql_transform,
    transform,
)
from onward.stages.validate.config import (
    batch_check,
    check,
    complete,
    distribution,
    fresh,
    python_check,
    reconcile,
    references,
    unique,
)
from onward.stages.validate.translate.config import great_expectations, pandera
from onward.watch.access.config import Access, may

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.app.testing.given import Given

__version__ = VERSION

__all__ = [
    "ABTest",
    "Access",
    "BlueGreen",
    "Canary",
    "Guardrails",
    "Kubernetes",
    "OnwardError",
    "Pipeline",
    "Serving",
    "Shadow",
    "Source",
    "at_least",
    "batch_check",
    "beats_champion",
    "by_delta",
    "by_partition",
    "categorical",
    "check",
    "complete",
    "dbt",
    "distribution",
    "dlt",
    "drift",
    "drop",
    "fair",
    "feature_service",
    "feature_view",
    "files",
    "fresh",
    "freshness",
    "generalise",
    "given",
    "great_expectations",
    "hashed",
    "http",
    "integer",
    "kafka",
    "label",
    "latency",
    "load",
    "may",
    "micro_batch",
    "model",
    "on_demand",
    "operational",
    "pandera",
    "performance",
    "pseudonym",
    "python_check",
    "real",
    "reconcile",
    "references",
    "replayed",
    "retrain",
    "revealable",
    "robust",
    "skew",
    "sql",
    "sql_transform",
    "thompson",
    "transform",
    "under_load",
    "unique",
    "window",
    "windowed_view",
]


def load(folder: str | Path = ".") -> Project:
    """Open the project in `folder`: its pipeline, its settings, its state.

    Raises
    ------
    OnwardError
        There is no project there, or its pipeline file is at fault.
    """
    from onward.app.project import open_project

    return open_project(Path(folder))


def given(**rows: Any) -> Given:
    """Give a declared function rows by the name of what it reads, in a test.

    ``ow.given(orders=[{"price": 2.0}]).expect(purchases, [{"total": 2.0}])``
    """
    from onward.app.testing.given import Given

    return Given(rows)
