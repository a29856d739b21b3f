"""The feature plan: a model's vector, and what a caller must send for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from onward.core.declarations import Model
from onward.core.errors import DataError, unknown_name
from onward.core.records import Column, FeaturePlan, Mask, OnDemandPlan, ViewPlan
from onward.stages.features.config import FeatureView, OnDemand
from onward.stages.features.masked import requested
from onward.stages.features.point_in_time import column

if TYPE_CHECKING:
    import pyarrow as pa

_RESERVED: Final = ("event_time", "available_at", "label")


def carried(model: Model, views: Sequence[ViewPlan]) -> dict[str, str]:
    """Return the columns that the label's rows must carry for the model, with what needs each."""
    return {
        **dict.fromkeys(model.slices, "a slice of the model"),
        **{
            name: f"which on-demand function {function.name!r} reads"
            for function in on_demand(model)
            for name in function.inputs
        },
        **{name: f"the entity of view {view.name!r}" for view in views for name in view.entity},
    }


def on_demand(model: Model) -> tuple[OnDemand, ...]:
    """Return the model's on-demand functions, in its order."""
    return tuple(feature for feature in model.features if isinstance(feature, OnDemand))


def plan(
    model: Model,
    views: Sequence[ViewPlan],
    rows: pa.Table,
    features: pa.Table,
    masked: Mapping[str, Sequence[Mask]],
    personal: Sequence[str] = (),
) -> FeaturePlan:
    """Make the plan of a model whose label gave `rows` and whose views gave `features`.

    The vector is in the order of the model's features. On-demand functions are called once to
    see what they give. A request column whose name is in `masked` is masked like the data.

    Raises
    ------
    DataError
        Two features have one name, or one has a name of the training set's own; a request column
        holds masked values that no request could match.
    """
    from onward.stages.features.request import outputs
    from onward.stages.features.request_columns import typed

    names = dict.fromkeys((*model.label.key, *_request_names(model, views)))
    request = tuple(
        replace(requested(model, n, rows[n], masked.get(n, ())), personal=n in personal)
        for n in names
    )
    functions = on_demand(model)
    read = {name for function in functions for name in function.inputs}
    series, count = typed(request, read, {name: rows[name] for name in names})
    given = {function.name: outputs(function, series, count) for function in functions}
    by_name = {view.name: view for view in views}
    columns: list[Column] = []
    for feature in model.features:
        if feature.name in by_name:
            view = by_name[feature.name]
            joined = [column(view, c) for c in _taken(feature, view)]
            columns += [Column(name=n, dtype=str(features.schema.field(n).type)) for n in joined]
        else:
            columns += given[feature.name]
    _require_distinct(model, columns)
    return FeaturePlan(
        columns=tuple(columns),
        views=tuple(views),
        on_demand=tuple(
            OnDemandPlan(name=f.name, inputs=f.inputs, outputs=tuple(c.name for c in given[f.name]))
            for f in functions
        ),
        request=request,
        key=model.label.key,
    )


def _taken(feature: FeatureView, view: ViewPlan) -> Sequence[str]:
    """Return the features that a model takes of a view, in the order in which it names them."""
    for name in feature.selected or ():
        if name not in view.columns:
            what, expected = unknown_name(f"feature of view {view.name!r}", name, view.columns)
            raise DataError(what, expected=expected, location=feature.location)
    return view.columns if feature.selected is None else feature.selected


def _request_names(model: Model, views: Sequence[ViewPlan]) -> tuple[str, ...]:
    """Return the entities, then what on-demand functions read, then the slices."""
    return (
        *(name for view in views for name in view.entity),
        *(name for function in on_demand(model) for name in function.inputs),
        *model.slices,
    )


def _require_distinct(model: Model, columns: Sequence[Column]) -> None:
    seen: set[str] = set(_RESERVED)
    for found in columns:
        if found.name in seen:
            taken = "the training set's own" if found.name in _RESERVED else "another feature's"
            raise DataError(
                f"model {model.name!r} has a feature {found.name!r}, a name that is {taken}",
                expected="features with names of their own",
                location=model.location,
            )
        seen.add(found.name)
