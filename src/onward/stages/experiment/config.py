"""What a user declares about a search: a range per hyperparameter."""

from __future__ import annotations

from typing import Any

from onward.core.declarations import SearchDimension
from onward.core.declared import here
from onward.core.errors import DeclarationError


def integer(low: int, high: int, *, log: bool = False) -> SearchDimension:
    """A whole number from `low` to `high`, both included."""
    return _range(SearchDimension(kind="integer", low=low, high=high, log=log))


def real(low: float, high: float, *, log: bool = False) -> SearchDimension:
    """A number from `low` to `high`; `log` searches its order of magnitude."""
    return _range(SearchDimension(kind="real", low=low, high=high, log=log))


def categorical(*choices: Any) -> SearchDimension:
    """One of the choices."""
    if not choices:
        raise DeclarationError("a categorical range has no choices", location=here())
    return SearchDimension(kind="categorical", choices=choices)


def _range(found: SearchDimension) -> SearchDimension:
    if found.low >= found.high or (found.log and found.low <= 0):
        raise DeclarationError(
            f"the range {found.low} to {found.high} is empty",
            expected="low < high, and low > 0 with log=True",
            location=here(),
        )
    return found
