"""A setting's value: of its type, among the words that may be chosen, within its bounds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final, Protocol, get_args

from onward.core.clock import duration
from onward.core.errors import DeclarationError, Location, unknown_name

_CHOSEN: Final = {
    "log": "guarantee",
    "on_log_failure": "policy",
    "store": "online store",
    "environment": "way to the environment",
}
"""What a setting of which one word must be chosen is called, where its name does not say it."""

_TYPES: Final = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}

_BOUNDS: Final = {
    "workers": (1, None),
    "port": (0, 65_535),
    "grpc_port": (0, 65_535),
    "access_ratio": (0, 1),
    "trace_ratio": (0, 1),
}
"""The least and the most of numbers; others are not negative."""


_NONE: Final = ("deadline", "hang", "drain", "leeway")
"""Lengths of time that may be 0: none at all."""

_ZERO: Final = re.compile(r"\s*0+(\.0+)?\s*(ms|s|min|m|h|d|w)?\s*")


class Written(Protocol):
    """Where a value was given: what it is called there, and the line, if it has one."""

    @property
    def name(self) -> str: ...

    @property
    def location(self) -> Location | None: ...


def checked(value: Any, default: Any, kind: Any, name: str, given: Written) -> Any:
    """Return a value of its default's type; the environment's texts are read as that type.

    `kind` is the annotation, which may be a Literal; `name` the setting's, within its section.

    Raises
    ------
    DeclarationError
        It is of another type, none of the words, or out of bounds.
    """
    made = _typed(value, default, name, given)
    _require_known(made, name, get_args(kind), given)
    _require_within(made, name, given)
    return made


def _typed(value: Any, default: Any, name: str, given: Written) -> Any:
    if isinstance(default, timedelta):
        return _duration(value, name, given)
    if isinstance(default, bool):
        if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
            return value.lower() in ("true", "1")
    elif isinstance(default, int) and isinstance(value, str) and value.isdigit():
        return int(value)
    elif isinstance(default, float):
        value = _number(value)
    if type(value) is not type(default):
        such = str(default).lower() if isinstance(default, bool) else repr(default)
        raise DeclarationError(
            f"{given.name} is {value!r}",
            expected=f"{_TYPES[type(default)]}, such as {such}",
            location=given.location,
        )
    return value


def _duration(value: Any, name: str, given: Written) -> timedelta:
    if name in _NONE and type(value) is not bool and _ZERO.fullmatch(str(value)):
        return timedelta(0)
    try:
        return duration(str(value), given.location)
    except DeclarationError as error:
        expected = f"{error.expected}; or '0s' for none" if name in _NONE else error.expected
        raise DeclarationError(
            f"{given.name} is {value!r}", expected=expected, location=given.location
        ) from None


def _require_known(value: Any, name: str, known: tuple[str, ...], given: Written) -> None:
    if known and value not in known:
        what, expected = unknown_name(_CHOSEN.get(name, name), value, known)
        raise DeclarationError(f"{given.name}: {what}", expected=expected, location=given.location)


def _require_within(value: Any, name: str, given: Written) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    least, most = _BOUNDS.get(name, (0, None))
    if value < least or (most is not None and value > most):
        raise DeclarationError(
            f"{given.name} is {value:,}",
            expected=f"{least:,} or more" if most is None else f"{least} to {most:,}",
            location=given.location,
        )


def _number(value: Any) -> Any:
    """Return what reads as a number as a float, the rest as it is."""
    try:
        return value if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return value
