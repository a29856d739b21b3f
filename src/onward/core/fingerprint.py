"""Fingerprints of code: what a declaration *does*, independent of where it stands."""

from __future__ import annotations

import dis
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import singledispatch
from types import CodeType, FunctionType, ModuleType
from typing import Any


def of_function(function: Callable[..., Any]) -> str:
    """Return 12 hex digits over what a function does.

    Counted: its instructions and constants, its defaults, what it closes over, and the globals
    that it reads; functions and classes of the same module are followed, those of other modules
    count by name. Not counted: comments, docstrings, annotations, white space, line numbers, the
    file's place, the process's hash seed.

    The same source gives another fingerprint under another minor version of Python, whose
    compiler writes other instructions: there, everything derived is built once more.
    """
    digest = hashlib.sha256()
    for part in _parts(function, function.__module__, set()):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:12]


def of_rule(rule: Any) -> str:
    """Return 12 hex digits over a check's rule.

    A function counts by its code, a record by its type's name and its compared fields, anything
    else, such as an expression, by its text.
    """
    if isinstance(rule, FunctionType):
        return of_function(rule)
    if is_dataclass(rule) and not isinstance(rule, type):
        compared = [f.name for f in fields(rule) if f.compare]
        parts = [f"{name}={of_rule(getattr(rule, name))}" for name in compared]
        return of_text(type(rule).__name__, *parts)
    return of_text(repr(rule))


def of_text(*parts: object) -> str:
    """Return 12 hex digits over the parts' text."""
    return hashlib.sha256(
        "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    ).hexdigest()[:12]


@singledispatch
def _parts(value: Any, module: str, seen: set[int]) -> Iterator[str]:
    """Yield what counts of a value, the same in every process.

    `module` is where the fingerprinted function lives. Functions and classes are `seen` once, so
    recursion ends.
    """
    if is_dataclass(value):
        yield type(value).__qualname__
        compared = {f.name: getattr(value, f.name) for f in fields(value) if f.compare}
        yield from _mapping(compared, module, seen)
    elif isinstance(value, ModuleType):
        yield value.__name__
    else:
        text = repr(value)
        yield type(value).__qualname__ if " at 0x" in text else text


@_parts.register(FunctionType)
def _function(value: FunctionType, module: str, seen: set[int]) -> Iterator[str]:
    if value.__module__ != module:
        yield f"{value.__module__}.{value.__qualname__}"
    elif id(value) not in seen:
        seen.add(id(value))
        code = value.__code__
        yield from _code(code, module, seen)
        yield from _parts((value.__defaults__, value.__kwdefaults__), module, seen)
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            yield name
            yield from _parts(cell.cell_contents, module, seen)
        for name in sorted(set(_globals_read(code)) & value.__globals__.keys()):
            yield name
            yield from _parts(value.__globals__[name], module, seen)


# The flags of a code object that change its meaning: *args, **kwargs, generator, coroutine.
_KIND = 0x3FF


@_parts.register(CodeType)
def _code(value: CodeType, module: str, seen: set[int]) -> Iterator[str]:
    """Yield instructions with their arguments resolved: indices shift with a docstring."""
    yield repr((value.co_argcount, value.co_kwonlyargcount, value.co_flags & _KIND))
    yield repr(value.co_varnames[: value.co_argcount + value.co_kwonlyargcount])
    yield repr(value.co_exceptiontable)
    for instruction in dis.get_instructions(value):
        yield instruction.opname
        yield from _parts(instruction.argval, module, seen)


def _globals_read(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_read(constant)


# What says only where a class stands, or what Python adds to each.
_INCIDENTAL = {
    "__annotations__", "__dict__", "__doc__", "__firstlineno__", "__module__",
    "__static_attributes__", "__weakref__",
}  # fmt: skip


@_parts.register(type)
def _class(value: type, module: str, seen: set[int]) -> Iterator[str]:
    if value.__module__ != module:
        yield f"{value.__module__}.{value.__qualname__}"
    elif id(value) not in seen:
        seen.add(id(value))
        yield from _parts(value.__bases__, module, seen)
        members = {k: v for k, v in vars(value).items() if k not in _INCIDENTAL}
        yield from _mapping(members, module, seen)


@_parts.register(staticmethod)
@_parts.register(classmethod)
def _method(value: Any, module: str, seen: set[int]) -> Iterator[str]:
    yield type(value).__name__
    yield from _parts(value.__func__, module, seen)


@_parts.register(property)
def _property(value: property, module: str, seen: set[int]) -> Iterator[str]:
    yield from _parts((value.fget, value.fset, value.fdel), module, seen)


@_parts.register(list)
@_parts.register(tuple)
def _sequence(value: Sequence[Any], module: str, seen: set[int]) -> Iterator[str]:
    yield f"{len(value)} in order"
    for item in value:
        yield from _parts(item, module, seen)


@_parts.register(set)
@_parts.register(frozenset)
def _set(value: Iterable[Any], module: str, seen: set[int]) -> Iterator[str]:
    """Yield members by their text: the order in which a set iterates changes with the process."""
    yield from sorted("\0".join(_parts(item, module, seen)) for item in value)


@_parts.register(Mapping)
def _mapping(value: Mapping[Any, Any], module: str, seen: set[int]) -> Iterator[str]:
    yield f"{len(value)} by key"
    for key in sorted(value, key=repr):
        yield from _parts(key, module, seen)
        yield from _parts(value[key], module, seen)
