"""What a user declares about features: views, on-demand functions and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from onward.core import fingerprint
from onward.core.clock import duration
from onward.core.declarations import parameters_of, require_name
from onward.core.declared import of_function
from onward.core.errors import DeclarationError, Location


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureView:
    """Features of an entity over time.

    The function takes Ibis tables named by its parameters and returns one with the entity's
    columns, ``event_time``, ``available_at`` (when each row could be known) and the features.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    entity: tuple[str, ...]
    ttl: timedelta | None
    location: Location | None = field(default=None, compare=False)

    @property
    def digest(self) -> str:
        """The definition's fingerprint; read once the file is loaded, helpers below it included."""
        return fingerprint.of_text(fingerprint.of_function(self.function), self.entity, self.ttl)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemand:
    """Features computed from the request, by one definition in training and in the gateway.

    The function's parameters name request columns, each a pandas Series; it returns a mapping
    of feature name to Series, or a DataFrame, of the same length.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    location: Location | None = field(default=None, compare=False)

    @property
    def digest(self) -> str:
        """The definition's fingerprint; read once the file is loaded, helpers below it included."""
        return fingerprint.of_function(self.function)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What is to be predicted, when the prediction is made, and when the truth is known.

    The function takes Ibis tables and returns one with the `key` columns, the request's columns,
    `event_time`, `available_at`, and the label in the column of its own name.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    key: tuple[str, ...]
    event_time: str
    available_at: str
    location: Location | None = field(default=None, compare=False)

    @property
    def digest(self) -> str:
        """The definition's fingerprint; read once the file is loaded, helpers below it included."""
        return fingerprint.of_text(
            fingerprint.of_function(self.function), self.key, self.event_time, self.available_at
        )


def feature_view(*, entity: str | Sequence[str], ttl: str | None = None) -> Callable[..., Any]:
    """Declare a feature view: a decorator for a function of Ibis tables.

    Parameters
    ----------
    entity
        The column, or columns, that the features describe.
    ttl
        How old a row may be and still be served, counted from its event time (``"30d"``).
    """

    def declare(body: Callable[..., Any]) -> FeatureView:
        location = of_function(body)
        columns = _columns("entity", entity, body)
        return FeatureView(
            name=require_name(body.__name__, "feature view", location),
            function=body,
            inputs=_datasets(body),
            entity=columns,
            ttl=None if ttl is None else duration(ttl, location),
            location=location,
        )

    return declare


def on_demand(body: Callable[..., Any]) -> OnDemand:
    """Declare on-demand features: a decorator for a function of request columns."""
    location = of_function(body)
    if not parameters_of(body):
        raise DeclarationError(
            f"on-demand function {body.__name__!r} reads nothing",
            expected="parameters that name the request columns it reads",
            location=location,
        )
    return OnDemand(
        name=require_name(body.__name__, "on-demand function", location),
        function=body,
        inputs=parameters_of(body),
        location=location,
    )


def label(*, key: str | Sequence[str], event_time: str, available_at: str) -> Callable[..., Any]:
    """Declare the label: a decorator for a function of Ibis tables.

    Parameters
    ----------
    key
        Columns that identify the thing predicted; a request carries them, and a label that
        arrives later is joined to its prediction by them.
    event_time
        When the prediction is made: features are as known at this moment.
    available_at
        When the truth is known.
    """

    def declare(body: Callable[..., Any]) -> Label:
        location = of_function(body)
        return Label(
            name=require_name(body.__name__, "label", location),
            function=body,
            inputs=_datasets(body),
            key=_columns("key", key, body),
            event_time=event_time,
            available_at=available_at,
            location=location,
        )

    return declare


def _columns(role: str, given: str | Sequence[str], body: Callable[..., Any]) -> tuple[str, ...]:
    columns = (given,) if isinstance(given, str) else tuple(given)
    if not columns or not all(columns):
        raise DeclarationError(
            f"{body.__name__!r} has no {role}",
            expected=f"{role}='column' or {role}=['column', ...]",
            location=of_function(body),
        )
    return columns


def _datasets(body: Callable[..., Any]) -> tuple[str, ...]:
    if not parameters_of(body):
        raise DeclarationError(
            f"{body.__name__!r} reads nothing",
            expected="parameters that name the sources and transforms it reads",
            location=of_function(body),
        )
    return parameters_of(body)
