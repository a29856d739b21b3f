"""Fingerprints of code: what a declaration *does*, independent of where it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import CodeType
from typing import Any


def of_function(function: Callable[..., Any]) -> str:
    """Return 12 hex digits over a function's byte code, constants, defaults and closed-over values.

    Comments, white space and line numbers do not count; a change in a global helper function of
    the same module that it calls does.
    """
    digest = hashlib.sha256()
    _feed_function(digest, function, set())
    return digest.hexdigest()[:12]


def of_text(*parts: object) -> str:
    """Return 12 hex digits over the parts' text."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:12]


def _feed_function(digest: Any, function: Callable[..., Any], seen: set[int]) -> None:
    if id(function) in seen:
        return
    seen.add(id(function))
    code = function.__code__
    _feed_code(digest, code)
    digest.update(repr((function.__defaults__, function.__kwdefaults__)).encode())
    for cell in function.__closure__ or ():
        _feed_value(digest, function, cell.cell_contents, seen)
    names = set(_names(code))
    for name in sorted(names & function.__globals__.keys()):
        _feed_value(digest, function, function.__globals__[name], seen)


def _feed_value(digest: Any, owner: Callable[..., Any], value: Any, seen: set[int]) -> None:
    if callable(value) and getattr(value, "__module__", None) == owner.__module__:
        if hasattr(value, "__code__"):
            _feed_function(digest, value, seen)
    elif isinstance(value, (str, bytes, int, float, bool, tuple, frozenset, type(None))):
        digest.update(repr(value).encode())


def _feed_code(digest: Any, code: CodeType) -> None:
    digest.update(code.co_code)
    digest.update(repr((code.co_names, code.co_varnames)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _feed_code(digest, constant)
        else:
            digest.update(repr(constant).encode())


def _names(code: CodeType) -> tuple[str, ...]:
    nested = (n for c in code.co_consts if isinstance(c, CodeType) for n in _names(c))
    return (*code.co_names, *nested)
