"""What releases may be declared with, and the nearest of a mistyped arm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Real
from typing import Final

from onward.core.errors import DeclarationError, Location, nearest

CANDIDATE: Final = "candidate"

_VERSION: Final = re.compile(r"v[1-9]\d*")
_NUMBER: Final = re.compile(r"\D*0*([1-9]\d*)")
_EXPECTED: Final = "the arms 'candidate' and earlier versions such as 'v3', with their percentages"


def require(holds: bool, what: str, expected: str, location: Location | None) -> None:
    """Refuse a declaration unless it holds.

    Raises
    ------
    DeclarationError
        It does not.
    """
    if not holds:
        raise DeclarationError(what, expected=expected, location=location)


def require_numbers(location: Location | None, **named: object) -> None:
    """Refuse what should be a number and is none.

    Raises
    ------
    DeclarationError
        One is not.
    """
    for name, value in named.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        require(number, f"{name} is {value!r}", "a number", location)


def require_split(split: object, location: Location | None) -> Mapping[str, float]:
    """Return a split, if it names arms that there can be, and leaves the champion something.

    Raises
    ------
    DeclarationError
        It does not.
    """
    if not isinstance(split, Mapping):
        raise DeclarationError(f"the split is {split!r}", expected=_EXPECTED, location=location)
    for arm in split:
        if arm != CANDIDATE and not (isinstance(arm, str) and _VERSION.fullmatch(arm)):
            raise DeclarationError(
                f"no arm of a split is called {arm!r}",
                expected=_meant(arm) + _EXPECTED,
                location=location,
            )
    require(
        CANDIDATE in split,
        f"the split {dict(split)} leaves the candidate out",
        "a percentage of 'candidate', the version that is released",
        location,
    )
    for arm, percent in split.items():
        require_numbers(location, **{f"the share of {arm!r} in the split": percent})
        require(
            percent > 0, f"the split gives {arm!r} {percent} %", "a percentage above 0", location
        )
    require(
        sum(split.values()) < 100,
        f"the split {dict(split)} leaves the champion nothing",
        "percentages below 100 together: the champion has the rest",
        location,
    )
    return dict(split)


def _meant(arm: object) -> str:
    """Say which arm was probably meant, before what is expected."""
    text = str(arm).strip().lower()
    if nearest(text, ["champion", CANDIDATE]) == "champion":
        return "no percentage for the champion, which has what the others leave; "
    if number := _NUMBER.fullmatch(text):
        return f"did you mean 'v{number[1]}'? "
    return f"did you mean {CANDIDATE!r}? " if nearest(text, [CANDIDATE]) else ""
