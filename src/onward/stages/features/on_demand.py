"""On-demand functions: features of what a request says, and of what views know beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

from onward.core import fingerprint
from onward.core.declarations import flattened, parameters_of, require_name
from onward.core.declared import of_function
from onward.core.errors import DeclarationError, Location, nearest, unknown_name
from onward.stages.features.config import FeatureView

MARK = "__"
"""Between a view's name and its feature's: ``habits__mean_amount``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemand:
    """Features computed when they are asked for, by one definition in training and in the gateway.

    The function's parameters name request columns and, as ``view__feature``, features of `views`;
    each is a pandas Series. It returns a mapping of feature name to Series, or a DataFrame, of the
    same length.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    views: tuple[FeatureView, ...] = ()
    location: Location | None = field(default=None, compare=False)

    @property
    def features(self) -> tuple[str, ...]:
        """The views' features among its inputs, as a model's vector names them."""
        return tuple(name for name in self.inputs if _split(name, self.views))

    @property
    def request(self) -> tuple[str, ...]:
        """The request columns among its inputs."""
        return tuple(name for name in self.inputs if not _split(name, self.views))

    def read_of(self, view: str) -> tuple[str, ...]:
        """Return the features of a view that it reads, by the view's own names for them."""
        found = (_split(name, self.views) for name in self.inputs)
        return tuple(feature for of, feature in filter(None, found) if of.name == view)

    @property
    def digest(self) -> str:
        """The definition's fingerprint: of its code, and of the views that it reads.

        Read once the file is loaded, helpers below it included.
        """
        code = fingerprint.of_function(self.function)
        return fingerprint.of_text(code, *(view.digest for view in self.views))


@overload
def on_demand(body: Callable[..., Any], /) -> OnDemand: ...


@overload
def on_demand(*, features: Any) -> Callable[[Callable[..., Any]], OnDemand]: ...


def on_demand(
    body: Callable[..., Any] | None = None, /, *, features: Any = ()
) -> OnDemand | Callable[[Callable[..., Any]], OnDemand]:
    """Declare on-demand features: a decorator for a function of columns.

    Parameters
    ----------
    features
        Feature views whose features it reads beside the request's columns: of a view ``habits``
        the parameter ``habits__mean_amount`` is the feature ``mean_amount``, as known at the
        request's time and by the view's policy where it is missing or stale. A model that takes
        the function reads these views, whether it names them or not.

    Raises
    ------
    DeclarationError
        It reads nothing, or nothing of a view that is given; a parameter is named after a view
        that is not, or after a feature that is not in the part of a view that is.
    """

    def declare(body: Callable[..., Any]) -> OnDemand:
        location = of_function(body)
        name = require_name(body.__name__, "on-demand function", location)
        inputs = parameters_of(body)
        if not inputs:
            raise DeclarationError(
                f"on-demand function {name!r} reads nothing",
                expected="parameters that name the request columns it reads",
                location=location,
            )
        given = _views(name, features, location)
        _require_read(name, inputs, given, location)
        return OnDemand(
            name=name,
            function=body,
            inputs=inputs,
            views=tuple(replace(view, selected=None) for view in given),
            location=location,
        )

    return declare if body is None else declare(body)


def views_of(features: Iterable[FeatureView | OnDemand]) -> tuple[FeatureView, ...]:
    """Return the views among features, and those that functions read: each once, whole."""
    members = tuple(features)
    named = [member for member in members if isinstance(member, FeatureView)]
    read = [view for m in members if isinstance(m, OnDemand) for view in m.views]
    return tuple({v.name: replace(v, selected=None) for v in (*named, *read)}.values())


def require_no_view(function: OnDemand, known: Iterable[str]) -> None:
    """Refuse a request column that is named after a view's feature.

    Raises
    ------
    DeclarationError
        The function reads features of a view, one of `known`, that it does not declare.
    """
    names = sorted(known, key=len, reverse=True)
    for column in function.request:
        view = next((name for name in names if column.startswith(name + MARK)), None)
        if view is not None:
            raise DeclarationError(
                f"on-demand function {function.name!r} reads {column!r}, a feature of view"
                f" {view!r}, which is not among its features",
                expected=f"@ow.on_demand(features=[{view}])",
                location=function.location,
            )


def _views(name: str, features: Any, location: Location) -> tuple[FeatureView, ...]:
    views = flattened(features)
    for view in views:
        if not isinstance(view, FeatureView):
            found = f"on-demand function {view.name!r}" if isinstance(view, OnDemand) else view
            raise DeclarationError(
                f"on-demand function {name!r} is to read features of {found!s}",
                expected="feature views: features=[habits, ...]",
                location=location,
            )
    return views


def _require_read(
    name: str, inputs: Sequence[str], views: Sequence[FeatureView], location: Location
) -> None:
    """Refuse parameters that miss a view's name by a letter, and views that no parameter names."""
    unread = {view.name for view in views}
    for column in inputs:
        found = _split(column, views)
        if found is None:
            _require_no_slip(name, column, views, location)
            continue
        view, feature = found
        unread.discard(view.name)
        if view.selected is not None and feature not in view.selected:
            kind = f"feature of the part of view {view.name!r}"
            what, expected = unknown_name(kind, feature, view.selected)
            raise DeclarationError(
                f"on-demand function {name!r}: {what}", expected=expected, location=location
            )
    for missing in sorted(unread):
        raise DeclarationError(
            f"on-demand function {name!r} reads nothing of view {missing!r}",
            expected=f"a parameter {missing + MARK}FEATURE, or features without the view",
            location=location,
        )


def _require_no_slip(
    name: str, column: str, views: Sequence[FeatureView], location: Location
) -> None:
    head, mark, feature = column.partition(MARK)
    close = nearest(head, [view.name for view in views]) if mark else None
    if close is not None:
        raise DeclarationError(
            f"on-demand function {name!r} reads {column!r}, and no view {head!r} is among its"
            " features",
            expected=f"did you mean {close + MARK + feature!r}?",
            location=location,
        )


def _split(column: str, views: Sequence[FeatureView]) -> tuple[FeatureView, str] | None:
    """Return the view and the feature that a name is of; None for a column of the request.

    Where one view's name begins another's, it is of the longer.
    """
    fitting = [view for view in views if column.startswith(view.name + MARK)]
    if not fitting:
        return None
    view = max(fitting, key=lambda view: len(view.name))
    return view, column[len(view.name + MARK) :]
