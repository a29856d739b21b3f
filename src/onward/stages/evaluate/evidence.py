"""What the gates are judged by: held-out rows, and what challenger and champion say of them.

Models are users' code, so all of this happens in a process of its own.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onward.core import digest
from onward.core.declarations import Task
from onward.core.errors import CorruptError, DataError
from onward.core.estimator import classes_of, encoded, features_of, labels_of, predictions_of
from onward.core.records import FeaturePlan, Metric, ModelRef, RunRef, TrainingSetRef
from onward.stages.evaluate.bootstrap import interval, resampled
from onward.stages.evaluate.metrics import metrics_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class Judged:
    """A model's answers on the held-out rows, and how its metrics vary over resamples of them.

    `x` is its input, shape (n_rows, n_features); `y` and `predictions` are as metrics take them.
    """

    ref: str
    task: Task
    estimator: Any
    x: pd.DataFrame
    y: np.ndarray
    predictions: np.ndarray

    @cached_property
    def values(self) -> Mapping[str, float]:
        """Each metric's value on all rows."""
        return {n: m(self.y, self.predictions) for n, m in metrics_of(self.task).items()}

    @cached_property
    def draws(self) -> Mapping[str, np.ndarray]:
        """Each metric's value in each resample; the same resamples for every model."""
        measures = {n: m.of(self.y, self.predictions) for n, m in metrics_of(self.task).items()}
        return resampled(measures, len(self.y))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return tuple(self.metric(name) for name in self.values)

    def metric(self, name: str) -> Metric:
        """Return one metric with its interval."""
        low, high = interval(self.draws[name])
        return Metric(name=name, value=self.values[name], low=low, high=high, rows=len(self.y))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The held-out rows with both models' answers; `base_rate` is the training rows' share of
    class 1.
    """

    rows: pa.Table
    challenger: Judged
    champion: Judged | None
    base_rate: float


def gather(
    trained: RunRef, champion: ModelRef | None, champion_rows: TrainingSetRef | None
) -> Evidence:
    """Load what is compared and ask both models about the held-out rows.

    Raises
    ------
    CorruptError
        A model's artifacts are not those that were recorded.
    DataError
        The held-out rows all have one label, or the champion's rows are other ones.
    """
    training = trained.training
    task = training.task
    rows = _held_out(training, trained)
    y = labels_of(rows, task, training.label)
    if y.nunique() < 2:
        raise DataError(
            f"the {rows.num_rows:,} held-out rows all have label {y.iloc[0]}",
            expected="rows that a model can be told apart on",
            next_step="ingest more data, or raise `holdout=` of @ow.model",
        )
    challenger = _asked(trained.path, trained.digest, trained.ref, rows, training.plan, task, y)
    return Evidence(
        rows=rows,
        challenger=challenger,
        champion=None if champion is None else _champion(trained, champion, champion_rows, rows, y),
        base_rate=_base_rate(trained) if task == "binary" else float("nan"),
    )


def _champion(
    trained: RunRef,
    champion: ModelRef,
    champion_rows: TrainingSetRef | None,
    rows: pa.Table,
    y: pd.Series,
) -> Judged:
    task = trained.training.task
    own = trained.training if champion_rows is None else champion_rows
    own_rows = rows if champion_rows is None else _held_out(champion_rows, trained)
    if own_rows.num_rows != rows.num_rows or not own_rows["label"].equals(rows["label"]):
        raise DataError(
            f"{champion.ref} would be judged on other rows than {trained.ref}",
            expected=f"the same {rows.num_rows:,} held-out rows, found {own_rows.num_rows:,}",
        )
    return _asked(champion.path, champion.digest, champion.ref, own_rows, own.plan, task, y)


def _asked(
    path: str, recorded: str, ref: str, rows: pa.Table, plan: FeaturePlan, task: Task, y: pd.Series
) -> Judged:
    folder = Path(path)
    digest.require(folder, recorded, ref)
    known = json.loads((folder / "plan.json").read_text())["task"]
    if known != task:
        raise DataError(
            f"{ref} is of a {known} task, the new model of a {task} one",
            expected="a champion that can be compared",
            next_step="give the model's function another name: it is another model",
        )
    estimator = pickle.loads((folder / "model.pkl").read_bytes())
    x = features_of(rows, plan)
    return Judged(
        ref=ref,
        task=task,
        estimator=estimator,
        x=x,
        y=encoded(y, classes_of(estimator, task)),
        predictions=np.asarray(predictions_of(estimator, x, task)),
    )


def _held_out(training: TrainingSetRef, trained: RunRef) -> pa.Table:
    border = pc.field("event_time") >= pc.scalar(trained.holdout_from)
    return _read(training, filters=border)


def _base_rate(trained: RunRef) -> float:
    border = pc.field("event_time") < pc.scalar(trained.holdout_from)
    labels = _read(trained.training, filters=border, columns=["label"])
    return float(labels_of(labels, "binary", trained.training.label).mean())


def _read(training: TrainingSetRef, **options: Any) -> pa.Table:
    if not Path(training.path).exists():
        raise CorruptError(
            f"{training.ref} is not in {training.path} any more",
            next_step="restore the file, or start again with `onward run`",
        )
    return pq.read_table(training.path, **options)
