"""Training sets: the label's rows, each with what was known when its prediction was due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from onward.core.clock import duration
from onward.core.declarations import Model
from onward.core.errors import DataError, NotFoundError, unknown_name
from onward.core.ports import Lake, RequestFeatures
from onward.core.records import (
    DatasetRef,
    FeaturePlan,
    FeatureSetRef,
    Mask,
    TrainingSetRef,
)
from onward.stages.features import plan as plans
from onward.stages.features.config import Label
from onward.stages.features.evaluation import inputs_of
from onward.stages.features.joining import joined, relations, snapshot
from onward.stages.features.labels import EVENT_TIME, spine
from onward.stages.features.on_demand import views_of
from onward.stages.features.point_in_time import REFUSED
from onward.stages.features.training_file import assembled, stored

if TYPE_CHECKING:
    import pyarrow as pa


def training_set(
    model: Model,
    *,
    views: Mapping[str, FeatureSetRef],
    lake: Lake,
    inputs: Mapping[str, DatasetRef],
    as_of: datetime,
    folder: Path,
    masked: Mapping[str, Sequence[Mask]] | None = None,
    personal: Sequence[str] = (),
) -> TrainingSetRef:
    """Build the model's training set as it could be known at `as_of`.

    Each row of the label whose truth was available by `as_of`, and whose event lies in the
    model's window, gets the views' features as known at its event time (`point_in_time`) and the
    on-demand features of its request columns and of these. A row that a view's policy gives no
    answer is left out: in production nobody will be asked about it. The same content gives the
    same file and id.
    `masked` says how columns of the data are masked, by name and as each source has it; those of
    a request are masked the same. `personal` names the columns that say whom a row is about.

    Raises
    ------
    DataError
        There are no rows, a column is missing, or a feature is refused.
    NotFoundError
        A view of the model was not published, or the label reads what `inputs` lacks.
    """
    from onward.stages.features.request import OnDemandFeatures
    from onward.stages.features.rowwise import require_rowwise

    label: Label = model.label
    chosen = _chosen(model, views)
    plans.require_known(model, [view.view for view in chosen])
    since = as_of - duration(model.window, model.location) if model.window else None
    found = [snapshot(lake, view.view, view.snapshot) for view in chosen]
    datasets = relations(found)
    with lake.open({**inputs_of(label, inputs), **datasets}) as backend:
        carried = plans.carried(model, [view.view for view in chosen])
        rows = spine(label, backend, carried, since=since, as_of=as_of)
        if not rows.num_rows:
            raise _no_rows(model, as_of)
        features = joined(lake, backend.con, rows, [v.view for v in chosen], found)
    labelled = rows.num_rows
    rows, features = _answered(rows, features, model)
    plan = plans.plan(model, [view.view for view in chosen], rows, features, masked or {}, personal)
    on_demand = OnDemandFeatures(plan, plans.on_demand(model))
    request = {column.name: rows[column.name] for column in plan.request}
    looked_up = {column.name: features[column.name] for column in plan.read}
    computed = on_demand.columns(request, looked_up)
    require_rowwise(on_demand, request, looked_up, computed)
    table = assembled(plan, rows, features, computed, location=model.location)
    digest, path = stored(table, plan, folder)
    return TrainingSetRef(
        id=digest,
        path=path,
        rows=table.num_rows,
        label=label.name,
        task=model.task,
        plan=plan,
        as_of=as_of,
        first=table[EVENT_TIME][0].as_py(),
        last=table[EVENT_TIME][-1].as_py(),
        inputs=(
            *(inputs[name].ref for name in label.inputs),
            *(view.ref for view in chosen),
            *(dataset.ref for dataset in datasets.values()),
        ),
        left_out=labelled - rows.num_rows,
    )


def request_features(model: Model, plan: FeaturePlan) -> RequestFeatures:
    """Return what computes a plan's on-demand features; cloudpickle carries it with its functions.

    Raises
    ------
    NotFoundError
        The plan names a function that the model does not have.
    """
    from onward.stages.features.request import OnDemandFeatures

    functions = plans.on_demand(model)
    known = {function.name for function in functions}
    for part in plan.on_demand:
        if part.name not in known:
            what, expected = unknown_name("on-demand function", part.name, known)
            raise NotFoundError(what, expected=expected, location=model.location)
    return OnDemandFeatures(plan, functions)


def _chosen(model: Model, views: Mapping[str, FeatureSetRef]) -> list[FeatureSetRef]:
    names = [view.name for view in views_of(model.features)]
    for name in names:
        if name not in views:
            what, expected = unknown_name("published feature view", name, views)
            raise NotFoundError(what, expected=expected, location=model.location)
        if views[name].snapshot is None:
            raise DataError(
                f"feature view {name!r} has no rows yet",
                expected="rows for at least one entity",
                next_step="ingest what it reads with `onward run`, or look at what it filters out",
                location=model.location,
            )
    return [views[name] for name in names]


def _answered(rows: pa.Table, features: pa.Table, model: Model) -> tuple[pa.Table, pa.Table]:
    """Return the rows that the views' policies give an answer, with their features."""
    import pyarrow.compute as pc

    if REFUSED not in features.column_names:
        return rows, features
    kept = pc.invert(features[REFUSED])
    if not pc.any(kept).as_py():
        raise DataError(
            f"each of the {rows.num_rows:,} labelled rows lacks features that a view may not lack",
            expected="rows whose entities have fresh rows in views with on_missing='error' or"
            " on_stale='error'",
            next_step="look at the label's entities, or choose another policy",
            location=model.location,
        )
    return rows.filter(kept), features.drop_columns(REFUSED).filter(kept)


def _no_rows(model: Model, as_of: datetime) -> DataError:
    window = f" in the {model.window} before" if model.window else ""
    return DataError(
        f"label {model.label.name!r} has no rows known by {as_of:%Y-%m-%d %H:%M} UTC{window}",
        expected="rows whose available_at has passed",
        next_step="ingest more data with `onward run`, or look at what the label filters out"
        + (" and at the model's window" if model.window else ""),
        location=model.label.location,
    )
