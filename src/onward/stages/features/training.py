"""Training sets: the label's rows, each with what was known when its prediction was due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    ViewPlan,
)
from onward.stages.features import plan as plans
from onward.stages.features import point_in_time
from onward.stages.features.config import FeatureView, Label
from onward.stages.features.evaluation import inputs_of
from onward.stages.features.labels import EVENT_TIME, spine
from onward.stages.features.point_in_time import Joined
from onward.stages.features.training_file import assembled, stored
from onward.stages.features.versions import Published, published

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
) -> TrainingSetRef:
    """Build the model's training set as it could be known at `as_of`.

    Each row of the label whose truth was available by `as_of`, and whose event lies in the
    model's window, gets the views' features as known at its event time (`point_in_time`) and the
    on-demand features of its request columns. The same content gives the same file and id.
    `masked` says how columns of the data are masked, by name and as each source has it; those of
    a request are masked the same.

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
    since = as_of - duration(model.window, model.location) if model.window else None
    found = [_snapshot(lake, view.view, view.snapshot) for view in chosen]
    datasets = _datasets(found)
    with lake.open({**inputs_of(label, inputs), **datasets}) as backend:
        carried = plans.carried(model, [view.view for view in chosen])
        rows = spine(label, backend, carried, since=since, as_of=as_of)
        if not rows.num_rows:
            raise _no_rows(model, as_of)
        features = _joined(lake, backend.con, rows, [v.view for v in chosen], found)
    plan = plans.plan(model, [view.view for view in chosen], rows, features, masked or {})
    on_demand = OnDemandFeatures(plan, plans.on_demand(model))
    request = {column.name: rows[column.name] for column in plan.request}
    computed = on_demand.columns(request)
    require_rowwise(on_demand, request, computed)
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
    )


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
    event time. The request columns of `training` stay beside those of `plan`.

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
    found = [_snapshot(lake, view, None) for view in plan.views]
    datasets = _datasets(found)
    with lake.open(datasets) as backend:
        features = _joined(lake, backend.con, rows, plan.views, found)
    computed = request_features.columns({c.name: rows[c.name] for c in plan.request})
    taken = {column.name for column in (*plan.request, *plan.columns)}
    table = assembled(
        plan, rows, features, computed, also=tuple(n for n in sent if n not in taken), location=None
    )
    digest, path = stored(table, plan, folder)
    views = (*(view.ref for view in plan.views), *(d.ref for d in datasets.values()))
    return replace(training, id=digest, path=path, plan=plan, inputs=(training.ref, *views))


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
    names = [feature.name for feature in model.features if isinstance(feature, FeatureView)]
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


def _snapshot(lake: Lake, view: ViewPlan, snapshot: int | None) -> Published:
    found = published(lake, view.table, snapshot)
    if found is None:
        at = "" if snapshot is None else f" as of snapshot {snapshot}"
        raise NotFoundError(
            f"{view.ref} is not in the lake{at}",
            next_step="publish it again with `onward run`",
        )
    return found


def _datasets(found: Sequence[Published]) -> dict[str, DatasetRef]:
    return {
        f"_view_{i}": DatasetRef(table=s.table, snapshot=s.id, rows=s.rows)
        for i, s in enumerate(version.snapshot for version in found)
    }


def _joined(
    lake: Lake,
    connection: Any,
    rows: pa.Table,
    views: Sequence[ViewPlan],
    found: Sequence[Published],
) -> pa.Table:
    """Join the views that stand on the connection as `_datasets` names them."""
    for view in views:
        schema = lake.schema(view.table)
        assert schema is not None, "its snapshot was found"
        for name in view.entity:
            kept, sent = str(schema.field(name).type), str(rows[name].type)
            if (kept == "string") != (sent == "string"):
                raise DataError(
                    f"{name!r} is {sent} in the label's rows and {kept} in {view.ref}",
                    expected="one type for an entity, wherever it stands",
                    next_step=f"cast it in one of them, for instance _.{name}.cast('string')",
                )
    joined = [
        Joined(view=view, relation=f"_view_{i}", marked=version.marked)
        for i, (view, version) in enumerate(zip(views, found, strict=True))
    ]
    return point_in_time.join(connection, rows, joined)


def _no_rows(model: Model, as_of: datetime) -> DataError:
    window = f" in the {model.window} before" if model.window else ""
    return DataError(
        f"label {model.label.name!r} has no rows known by {as_of:%Y-%m-%d %H:%M} UTC{window}",
        expected="rows whose available_at has passed",
        next_step="ingest more data with `onward run`, or look at what the label filters out"
        + (" and at the model's window" if model.window else ""),
        location=model.label.location,
    )
