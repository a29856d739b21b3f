"""Fingerprints of code: what a declaration *does*, independent of where it stands."""

from __future__ import annotations

import dis
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import singledispatch
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any


def of_function(function: Callable[..., Any]) -> str:
    """Return 12 hex digits over what a function does.

    Counted: its instructions and constants, its defaults, what it closes over, and the globals
    that it reads. Functions and classes of the user's own modules are followed: of the same
    module, and of those beside it. Such a module that is imported whole, or inside the function,
    counts with all its code; what it imports relatively does not. Other modules count by name.
    Not counted: comments, docstrings, annotations, white space, line numbers, the file's place,
    the process's hash seed.

    The same source gives another fingerprint under another minor version of Python, whose
    compiler writes other instructions: there, everything derived is built once more.
    """
    digest = hashlib.sha256()
    for part in _parts(function, _Own(function.__module__), set()):
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


class _Own:
    """Which modules are the user's own: the fingerprinted function's, and those beside it.

    A module inside a package, or among installed ones, has none beside it.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        file = getattr(sys.modules.get(module), "__file__", None)
        folder = Path(file).parent if file and "." not in module else None
        installed = folder is None or folder.name in ("site-packages", "dist-packages")
        self._folder = None if installed else str(folder)

    def __contains__(self, module: str) -> bool:
        return module == self._module or self._beside(module.partition(".")[0]) is not None

    def code(self, module: str) -> CodeType | None:
        """Return the code of a module beside, whether or not it was imported yet."""
        top, *below = module.split(".")
        name, spec = top, self._beside(top)
        for part in below:
            name = f"{name}.{part}"
            spec = PathFinder.find_spec(name, spec.submodule_search_locations) if spec else None
        return (
            spec.loader.get_code(name) if spec and isinstance(spec.loader, InspectLoader) else None
        )

    def _beside(self, name: str) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, [self._folder]) if self._folder and name else None
        return found if found and found.has_location else None


@singledispatch
def _parts(value: Any, own: _Own, seen: set[int | str]) -> Iterator[str]:
    """Yield what counts of a value, the same in every process.

    What was `seen` is not followed again, so recursion ends.
    """
    if is_dataclass(value):
        yield type(value).__qualname__
        compared = {f.name: getattr(value, f.name) for f in fields(value) if f.compare}
        yield from _mapping(compared, own, seen)
    elif isinstance(value, ModuleType):
        yield from _imported(value.__name__, own, seen)
    else:
        text = repr(value)
        yield type(value).__qualname__ if " at 0x" in text else text


@_parts.register(FunctionType)
def _function(value: FunctionType, own: _Own, seen: set[int | str]) -> Iterator[str]:
    if value.__module__ not in own:
        yield f"{value.__module__}.{value.__qualname__}"
    elif id(value) not in seen:
        seen.add(id(value))
        code = value.__code__
        yield from _code(code, own, seen)
        yield from _parts((value.__defaults__, value.__kwdefaults__), own, seen)
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            yield name
            yield from _parts(cell.cell_contents, own, seen)
        for name in sorted(set(_globals_read(code)) & value.__globals__.keys()):
            yield name
            yield from _parts(value.__globals__[name], own, seen)


# The flags of a code object that change its meaning: *args, **kwargs, generator, coroutine.
_KIND = 0x3FF


@_parts.register(CodeType)
def _code(value: CodeType, own: _Own, seen: set[int | str]) -> Iterator[str]:
    """Yield instructions with their arguments resolved: indices shift with a docstring."""
    yield repr((value.co_argcount, value.co_kwonlyargcount, value.co_flags & _KIND))
    yield repr(value.co_varnames[: value.co_argcount + value.co_kwonlyargcount])
    yield repr(value.co_exceptiontable)
    for instruction in dis.get_instructions(value):
        yield instruction.opname
        if instruction.opname == "IMPORT_NAME":
            yield from _imported(instruction.argval, own, seen)
        else:
            yield from _parts(instruction.argval, own, seen)


def _imported(module: str, own: _Own, seen: set[int | str]) -> Iterator[str]:
    yield module
    if module in own and module not in seen:
        seen.add(module)
        code = own.code(module)
        if code is not None:
            yield from _code(code, own, seen)


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
def _class(value: type, own: _Own, seen: set[int | str]) -> Iterator[str]:
    if value.__module__ not in own:
        yield f"{value.__module__}.{value.__qualname__}"
    elif id(value) not in seen:
        seen.add(id(value))
        yield from _parts(value.__bases__, own, seen)
        members = {k: v for k, v in vars(value).items() if k not in _INCIDENTAL}
        yield from _mapping(members, own, seen)


@_parts.register(staticmethod)
@_parts.register(classmethod)
def _method(value: Any, own: _Own, seen: set[int | str]) -> Iterator[str]:
    yield type(value).__name__
    yield from _parts(value.__func__, own, seen)


@_parts.register(property)
def _property(value: property, own: _Own, seen: set[int | str]) -> Iterator[str]:
    yield from _parts((value.fget, value.fset, value.fdel), own, seen)


@_parts.register(list)
@_parts.register(tuple)
def _sequence(value: Sequence[Any], own: _Own, seen: set[int | str]) -> Iterator[str]:
    yield f"{len(value)} in order"
    for item in value:
        yield from _parts(item, own, seen)


@_parts.register(set)
@_parts.register(frozenset)
def _set(value: Iterable[Any], own: _Own, seen: set[int | str]) -> Iterator[str]:
    """Yield members by their text: the order in which a set iterates changes with the process."""
    yield from sorted("\0".join(_parts(item, own, seen)) for item in value)


@_parts.register(Mapping)
def _mapping(value: Mapping[Any, Any], own: _Own, seen: set[int | str]) -> Iterator[str]:
    yield f"{len(value)} by key"
    for key in sorted(value, key=repr):
        yield from _parts(key, own, seen)
        yield from _parts(value[key], own, seen)
