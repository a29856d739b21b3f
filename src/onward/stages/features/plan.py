"""The feature plan: a model's vector, and what a caller must send for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from onward.core.declarations import Model
from onward.core.errors import DataError, unknown_name
from onward.core.records import Column, FeaturePlan, Mask, OnDemandPlan, ViewPlan
from onward.stages.features.config import FeatureView
from onward.stages.features.masked import requested
from onward.stages.features.on_demand import OnDemand
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
            for name in function.request
        },
        **{name: f"the entity of view {view.name!r}" for view in views for name in view.entity},
    }


def on_demand(model: Model) -> tuple[OnDemand, ...]:
    """Return the model's on-demand functions, in its order."""
    return tuple(feature for feature in model.features if isinstance(feature, OnDemand))


def require_known(model: Model, views: Sequence[ViewPlan]) -> None:
    """Refuse features that the model, or an on-demand function of it, takes of views without them.

    Raises
    ------
    DataError
        With the closest name there is.
    """
    for view in views:
        for feature in model.features:
            for name in _taken(feature, view):
                if name not in view.columns:
                    kind = f"feature of view {view.name!r}"
                    what, expected = unknown_name(kind, name, view.columns)
                    of_function = isinstance(feature, OnDemand)
                    who = f"on-demand function {feature.name!r}" if of_function else "the model"
                    raise DataError(
                        f"{what}, which {who} reads", expected=expected, location=feature.location
                    )


def _taken(feature: FeatureView | OnDemand, view: ViewPlan) -> Sequence[str]:
    """Return the features that are read of a view, in the order in which they are named."""
    if isinstance(feature, OnDemand):
        return feature.read_of(view.name)
    if feature.name != view.name:
        return ()
    return view.columns if feature.selected is None else feature.selected


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

    names = dict.fromkeys((*model.label.key, *request_names(model, views)))
    request = tuple(
        replace(requested(model, n, rows[n], masked.get(n, ())), personal=n in personal)
        for n in names
    )
    functions = on_demand(model)
    read = {f.name: tuple(_joined(features, name) for name in f.features) for f in functions}
    looked_up = tuple(dict.fromkeys(column for found in read.values() for column in found))
    series, count = typed(
        (*request, *looked_up),
        {name for function in functions for name in function.inputs},
        {**{c.name: features[c.name] for c in looked_up}, **{name: rows[name] for name in names}},
    )
    given = {function.name: outputs(function, series, count) for function in functions}
    by_name = {view.name: view for view in views}
    columns: list[Column] = []
    for feature in model.features:
        if isinstance(feature, OnDemand):
            columns += given[feature.name]
        else:
            view = by_name[feature.name]
            columns += [_joined(features, column(view, name)) for name in _taken(feature, view)]
    _require_distinct(model, columns, looked_up, names)
    return FeaturePlan(
        columns=tuple(columns),
        views=tuple(views),
        on_demand=tuple(
            OnDemandPlan(
                name=f.name,
                inputs=f.request,
                outputs=tuple(c.name for c in given[f.name]),
                features=read[f.name],
            )
            for f in functions
        ),
        request=request,
        key=model.label.key,
    )


def _joined(features: pa.Table, name: str) -> Column:
    return Column(name=name, dtype=str(features.schema.field(name).type))


def request_names(model: Model, views: Sequence[ViewPlan | FeatureView]) -> tuple[str, ...]:
    """Return what requests bring beside the label's key.

    The entities, then what on-demand functions read, then the slices.
    """
    return (
        *(name for view in views for name in view.entity),
        *(name for function in on_demand(model) for name in function.request),
        *model.slices,
    )


def _require_distinct(
    model: Model, columns: Sequence[Column], looked_up: Sequence[Column], request: Iterable[str]
) -> None:
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
    for found in looked_up:
        if found.name in request:
            raise DataError(
                f"{found.name!r} is a request column of model {model.name!r}, and a feature of a"
                " view that an on-demand function reads",
                expected="a request column with another name",
                location=model.location,
            )
