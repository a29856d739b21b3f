"""The fit, as it runs in the child process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.core import fingerprint
from onward.core.clock import utc
from onward.core.declarations import Runtime, Task
from onward.core.errors import DataError, DeclarationError, Location
from onward.core.estimator import features_of, holdout_start, labels_of
from onward.core.ports import RequestFeatures
from onward.core.records import TrainingSetRef

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """All that a fit depends on, and the folder its result goes under.

    `version` and `features_version` are the fingerprints of the training function and of the
    on-demand functions. `source` and `commit` are kept with what is fitted, and decide nothing.
    """

    model: str
    function: Callable[..., Any]
    version: str
    features_version: str
    location: Location | None
    training: TrainingSetRef
    task: Task
    runtime: Runtime | None
    holdout: float
    parameters: Mapping[str, Any]
    request_features: RequestFeatures
    source: str | None
    commit: str | None
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted model's folder. `id` digests what went in, `digest` what came out.

    `commit` is the one at which it was fitted: code may change later, and this model with it not.
    `kept` says that it was there already, from the same inputs.
    """

    id: str
    path: str
    digest: str
    commit: str | None
    holdout_from: datetime
    seconds: float
    train_rows: int
    holdout_rows: int
    kept: bool = False


def fit(job: Fit) -> Fitted:
    """Fit the model and write its folder, unless it is there already."""
    import pyarrow.parquet as pq

    from onward.stages.train import environment, folder
    from onward.stages.train.answers import PROBED, require_answers
    from onward.stages.train.pickling import pickled
    from onward.stages.train.returned import estimator_of

    versions = environment.installed()
    key = _key(job, versions)
    if (kept := folder.kept(job.folder, key)) is not None:
        return kept

    table = pq.read_table(job.training.path)
    x, y = features_of(table, job.training.plan), labels_of(table, job.task, job.training.label)
    times = table.column("event_time")
    start = holdout_start(times.to_numpy(), job.holdout)
    _require_classes(y.iloc[:start], job)

    begun = time.perf_counter()
    returned = job.function(x.iloc[:start], y.iloc[:start], **job.parameters)
    seconds = time.perf_counter() - begun
    estimator = estimator_of(returned, y.iloc[:start], job.task)
    probed = x.iloc[start : start + PROBED]
    require_answers(estimator, probed, job.task, job.model, job.location)

    files = folder.contents(
        job,
        estimator,
        model=_pickled(estimator, job),
        onnx=_onnx(estimator, x.iloc[start:], job),
        request_features=pickled(job.request_features),
        holdout=table.slice(start),
        x=x.iloc[start:],
        distributions=environment.imported(versions),
    )
    return folder.keep(
        job.folder,
        files,
        key=key,
        commit=job.commit,
        holdout_from=utc(times[start].as_py()),
        seconds=seconds,
        train_rows=start,
        holdout_rows=table.num_rows - start,
    )


def _pickled(estimator: Any, job: Fit) -> bytes:
    from onward.stages.train.pickling import pickled

    try:
        return pickled(estimator)
    except Exception as error:  # whatever its parts say that cannot be carried
        raise DeclarationError(
            f"what model {job.model!r} returned cannot be kept: {type(error).__name__}: {error}",
            expected="something that cloudpickle can carry: no open file, connection or lock in it",
            location=job.location,
        ) from error


def _onnx(estimator: Any, held_out: pd.DataFrame, job: Fit) -> bytes | None:
    if job.runtime != "onnx":
        return None
    from onward.stages.train.onnx_form import onnx_form

    return onnx_form(estimator, held_out, job.task, job.model, job.location)


def _key(job: Fit, versions: Mapping[str, str]) -> str:
    """Return a digest of everything that decides what the model answers.

    Not counted: the text around the code that runs, the commit it stands in, and where. Whatever
    else changes in a project, the same training set, code and parameters are the same model.
    """
    from onward.stages.train import environment

    return fingerprint.of_text(
        job.model,
        job.version,
        job.training.id,
        job.task,
        job.runtime,
        job.holdout,
        sorted(job.parameters.items()),
        job.features_version,
        environment.machine(),
        sorted(versions.items()),
    )


def _require_classes(y: pd.Series, job: Fit) -> None:
    found = sorted(y.unique().tolist()) if job.task != "regression" else []
    if job.task != "regression" and len(found) < 2:
        raise DataError(
            f"all {len(y):,} training rows of model {job.model!r} have label {found[0]!r}",
            expected="at least two classes before the held-out rows",
            next_step="ingest more data, or look at the label function",
            location=job.location,
        )
