"""Declarations that more than one room reads. What one room alone reads is in its `config.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from onward.core import fingerprint
from onward.core.errors import DeclarationError, Location

Task = Literal["binary", "multiclass", "regression"]
Runtime = Literal["onnx"]
Severity = Literal["quarantine", "hold", "warn"]
"""What a broken rule does: keeps its rows out, keeps the whole batch out, or is only reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A rule over data, and what happens where it does not hold.

    Parameters
    ----------
    rule
        An Ibis expression on ``_``, a function of the table, or one of the validate room's kinds.
    scope
        A ``row`` rule gives a boolean per row, a ``batch`` rule one for the batch; NULL counts as
        false. None where only the rule's answer says which it is.
    severity
        None where the scope decides: rows go to quarantine, a batch is held.
    reads
        The other sources and transforms that the rule looks at, by name.
    profiles
        How many of the batches published before it looks back at.
    timed
        Whether it depends on when it is asked.
    """

    name: str
    rule: Any
    scope: Literal["row", "batch"] | None
    severity: Severity | None = None
    reads: tuple[str, ...] = ()
    profiles: int = 0
    timed: bool = False
    location: Location | None = field(default=None, compare=False)

    @property
    def alone(self) -> bool:
        """Whether the batch by itself decides, whenever it is asked."""
        return not (self.reads or self.profiles or self.timed)

    @property
    def version(self) -> str:
        """The rule's fingerprint: it changes with its parameters, not with the name."""
        return fingerprint.of_rule(self.rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchDimension:
    """One hyperparameter's range: ``integer``, ``real`` or ``categorical``."""

    kind: Literal["integer", "real", "categorical"]
    low: float = 0
    high: float = 0
    log: bool = False
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A training function with the features it reads and the label it predicts.

    `function(X, y, **hyperparameters)` takes a DataFrame of shape (n_rows, n_features) and a
    Series of shape (n_rows,), and returns a fitted estimator with ``predict`` or, for
    classification, ``predict_proba``; or a function ``f(X)`` of n rows that gives the same.
    `features` holds feature views and on-demand functions, `label` the label declaration (types
    of the features room, opaque here).
    `holdout` is the share of the newest rows, by event time, kept for evaluation. `runtime` is the
    form in which it is served; None for the fastest way to call what was returned.
    """

    name: str
    function: Callable[..., Any]
    features: tuple[Any, ...]
    label: Any
    task: Task
    parameters: Mapping[str, Any]
    search: Mapping[str, SearchDimension]
    holdout: float
    window: str | None
    slices: tuple[str, ...]
    runtime: Runtime | None = None
    description: str = field(default="", compare=False)
    owner: str = field(default="", compare=False)
    tags: tuple[str, ...] = field(default=(), compare=False)
    location: Location | None = field(default=None, compare=False)

    @property
    def version(self) -> str:
        """The training function's fingerprint, helpers defined below it included."""
        return fingerprint.of_function(self.function)


def flattened(features: Any) -> tuple[Any, ...]:
    """Return features with each feature service replaced by its members."""
    given = features if isinstance(features, (list, tuple)) else [features]
    return tuple(m for feature in given for m in getattr(feature, "members", (feature,)))


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's positional parameters, in order."""
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters that have defaults, with them."""
    names = parameters_of(function)
    values = function.__defaults__ or ()
    positional = dict(zip(names[len(names) - len(values) :], values, strict=True))
    return {**positional, **(function.__kwdefaults__ or {})}


def require_checks(checks: Sequence[Any], location: Location | None) -> tuple[Check, ...]:
    """Return `checks` in one row if each is one, or several of them in a list or tuple.

    Raises
    ------
    DeclarationError
        One is something else: an expression without a name, say.
    """
    found: list[Check] = []
    for check in checks:
        if isinstance(check, (list, tuple)):
            found.extend(require_checks(check, location))
        elif isinstance(check, Check):
            found.append(check)
        else:
            raise DeclarationError(
                f"{check!r} is no check",
                expected="ow.check('what holds', rule) or ow.batch_check('what holds', rule)",
                location=location,
            )
    return tuple(found)


def require_name(name: str, kind: str, location: Location | None) -> str:
    """Return `name` if it may name a table or a model.

    Raises
    ------
    DeclarationError
        It is no lower-case identifier.
    """
    if not name.isidentifier() or name != name.lower() or name.startswith("_"):
        article = "an" if kind.startswith(tuple("aeiou")) else "a"
        raise DeclarationError(
            f"{name!r} cannot name {article} {kind}",
            expected="lower-case letters, digits and underscores, beginning with a letter",
            location=location,
        )
    return name
