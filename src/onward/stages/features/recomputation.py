"""Features of rows that were there before: a training set's by another plan, a request's again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from onward.core.errors import DataError
from onward.core.ports import Lake, RequestFeatures
from onward.core.records import DatasetRef, FeaturePlan, TrainingSetRef
from onward.stages.features.columns import TIME
from onward.stages.features.joining import joined, relations, snapshot
from onward.stages.features.point_in_time import REFUSED
from onward.stages.features.training_file import assembled, stored, type_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def recompute(
    training: TrainingSetRef,
    plan: FeaturePlan,
    request_features: RequestFeatures,
    *,
    lake: Lake,
    folder: Path,
) -> TrainingSetRef:
    """Give the rows of a training set, in their order, the features of another plan.

    The plan's views are read as they stand now; each row still sees only what was known at its
    event time. The request columns of `training` stay beside those of `plan`. Where a policy of
    the plan would give a row no answer, it has no values: the rows pair with those of `training`.

    Raises
    ------
    DataError
        The plan reads a request column that the rows do not have.
    NotFoundError
        A view of the plan is no longer in the lake.
    """
    import pyarrow.parquet as pq

    rows = pq.read_table(training.path)
    sent = [column.name for column in training.plan.request]
    for column in plan.request:
        if column.name not in sent:
            raise DataError(
                f"the rows of {training.ref} have no request column {column.name!r}",
                expected=f"one of {', '.join(sent)}",
                next_step="keep the champion's request columns in the label's table until it is"
                " replaced",
            )
    features, datasets = _views(plan, rows, lake)
    computed = _computed(plan, request_features, rows, features)
    taken = {column.name for column in (*plan.request, *plan.columns, *plan.beside)}
    table = assembled(
        plan, rows, features, computed, also=tuple(n for n in sent if n not in taken), location=None
    )
    digest, path = stored(table, plan, folder)
    views = (*(view.ref for view in plan.views), *(d.ref for d in datasets))
    return replace(training, id=digest, path=path, plan=plan, inputs=(training.ref, *views))


def vectors(
    plan: FeaturePlan, request_features: RequestFeatures, logged: pa.Table, *, lake: Lake
) -> pa.Table:
    """Compute the features of logged requests again, each as known when it was asked.

    `logged` has the columns ``request`` (JSON) and ``at``. Returns the plan's columns, a row for
    each request in their order, and `REFUSED` if a view's policy may give no answer.

    Raises
    ------
    NotFoundError
        A view of the plan is no longer in the lake.
    """
    import pyarrow as pa

    rows = requests(plan, logged["request"].to_pylist()).append_column("event_time", logged["at"])
    features, _ = _views(plan, rows, lake)
    computed = _computed(plan, request_features, rows, features)
    found = {
        column.name: pa.array(computed[column.name], type_of(column), from_pandas=True)
        if column.name in computed
        else features[column.name].cast(type_of(column))
        for column in plan.columns
    }
    if REFUSED in features.column_names:
        found[REFUSED] = features[REFUSED]
    return pa.table(found)


def requests(plan: FeaturePlan, texts: Sequence[str]) -> pa.Table:
    """Read requests that were logged as JSON into the plan's request columns, in their types."""
    import pyarrow as pa

    rows = [json.loads(text) for text in texts]
    columns = {}
    for column in plan.request:
        values = [row.get(column.name) for row in rows]
        if column.dtype == TIME:
            values = [None if value is None else datetime.fromisoformat(value) for value in values]
        kind = (
            pa.timestamp("us", "UTC") if column.dtype == TIME else pa.type_for_alias(column.dtype)
        )
        columns[column.name] = pa.array(values, kind)
    return pa.table(columns)


def _computed(
    plan: FeaturePlan, request_features: RequestFeatures, rows: pa.Table, features: pa.Table
) -> Mapping[str, np.ndarray]:
    """Compute the on-demand features of rows whose views' features are joined."""
    return request_features.columns(
        {column.name: rows[column.name] for column in plan.request},
        {column.name: features[column.name] for column in plan.read},
    )


def _views(plan: FeaturePlan, rows: pa.Table, lake: Lake) -> tuple[pa.Table, Sequence[DatasetRef]]:
    """Join the plan's views as they stand now to rows with an event time."""
    found = [snapshot(lake, view, None) for view in plan.views]
    datasets = relations(found)
    with lake.open(datasets) as backend:
        features = joined(lake, backend.con, rows, plan.views, found)
    return features, tuple(datasets.values())
