"""What a user declares about features: views and labels; `on_demand` has the functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

from onward.core import fingerprint
from onward.core.clock import duration
from onward.core.declarations import parameters_of, require_name
from onward.core.declared import first_paragraph, here, of_function
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.core.records import OnMissing, OnStale

if TYPE_CHECKING:
    from onward.stages.features.windows import Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureView:
    """Features of an entity over time.

    The function takes Ibis tables named by its parameters and returns one with the entity's
    columns, ``event_time``, ``available_at`` (when each row could be known) and the features.
    What it does, its entity, its time to live and its policy are its version; what is said about
    it for people is not.
    With a `reach`, only what new rows touch is computed. `selected` names the features that who
    holds this takes, None for all; it is no part of the view's version.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    entity: tuple[str, ...]
    ttl: timedelta | None
    on_missing: OnMissing = "null"
    on_stale: OnStale = "null"
    defaults: Mapping[str, float | str] = field(default_factory=dict)
    description: str = field(default="", compare=False)
    owner: str = field(default="", compare=False)
    tags: tuple[str, ...] = field(default=(), compare=False)
    selected: tuple[str, ...] | None = None
    reach: Reach | None = field(default=None, compare=False)
    location: Location | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for setting, value, known in (
            ("on_missing", self.on_missing, get_args(OnMissing)),
            ("on_stale", self.on_stale, get_args(OnStale)),
        ):
            if value not in known:
                what, expected = unknown_name(f"policy {setting}", value, known)
                if value == "last":
                    expected = "on_stale='last': an entity without a row has no last one"
                raise self._refused(what, expected)
        policies = (self.on_missing, self.on_stale)
        if ("default" in policies) is not bool(self.defaults):
            raise self._refused(
                "no policy reads its defaults" if self.defaults else "it has no defaults to read",
                "on_missing='default' or on_stale='default', with defaults={'feature': value}",
            )
        if self.ttl is None and self.on_stale != self.on_missing:
            raise self._refused(
                f"on_stale is {self.on_stale!r} and there is no ttl: no row is ever stale",
                "ttl='30d', say, beside it",
            )

    def _refused(self, what: str, expected: str) -> DeclarationError:
        return DeclarationError(
            f"feature view {self.name!r}: {what}", expected=expected, location=self.location
        )

    def __getitem__(self, columns: str | Sequence[str]) -> FeatureView:
        """Return the view with some of its features alone: ``habits[["mean_amount"]]``.

        It is the same view: one table, one version; a model that takes a part reads no more.
        """
        names = (columns,) if isinstance(columns, str) else tuple(columns)
        if not names or not all(isinstance(name, str) for name in names):
            raise DeclarationError(
                f"{columns!r} names no features of view {self.name!r}",
                expected=f"{self.name}[['feature', ...]]",
                location=here(),
            )
        return replace(self, selected=names)

    @property
    def digest(self) -> str:
        """The definition's fingerprint; read once the file is loaded, helpers below it included."""
        policy = (self.on_missing, self.on_stale, sorted(self.defaults.items()))
        code = fingerprint.of_function(self.function)
        return fingerprint.of_text(code, self.entity, self.ttl, policy)


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


def feature_view(
    *,
    entity: str | Sequence[str],
    ttl: str | None = None,
    on_missing: OnMissing = "null",
    on_stale: OnStale | None = None,
    defaults: Mapping[str, float | str] | None = None,
    description: str | None = None,
    owner: str = "",
    tags: Sequence[str] = (),
) -> Callable[..., Any]:
    """Declare a feature view: a decorator for a function of Ibis tables.

    A policy holds in the gateway and in training sets alike: a training row gets what a request
    would have got then, and one that would have been refused is left out.

    Parameters
    ----------
    entity
        The column, or columns, that the features describe.
    ttl
        How old a row may be and still be fresh, counted from its event time (``"30d"``).
    on_missing
        What an entity without a row gets: ``"null"`` (missing values), ``"default"`` (the values
        in `defaults`), or ``"error"``: the request's row is refused.
    on_stale
        What an entity gets whose newest row is older than `ttl`: the same, unless given; also
        ``"last"``, that row.
    defaults
        Values by feature, for ``"default"``; a feature that is not named stays missing.
    description
        What the features mean; unless given, the first paragraph of the function's docstring.
    owner, tags
        Who answers for the view, and words by which it is found.
    """

    def declare(body: Callable[..., Any]) -> FeatureView:
        location = of_function(body)
        columns = _columns("entity", entity, body)
        name = require_name(body.__name__, "feature view", location)
        return FeatureView(
            name=name,
            function=body,
            inputs=_datasets(body),
            entity=columns,
            ttl=None if ttl is None else duration(ttl, location),
            on_missing=on_missing,
            on_stale=on_missing if on_stale is None else on_stale,
            defaults=dict(defaults or {}),
            description=first_paragraph(body) if description is None else description,
            owner=owner,
            tags=(tags,) if isinstance(tags, str) else tuple(tags),
            location=location,
        )

    return declare


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
