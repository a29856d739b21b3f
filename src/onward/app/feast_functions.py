"""Feast's on-demand feature views as functions of ours: their code as it is, called as Feast does.

What Feast hands its code is one table of columns, or dicts; here a function's parameters name what
it reads. Code that takes its input column by column tells which these are; other code gets all.
"""

from __future__ import annotations

import ast
import builtins
import json
import symtable
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

KINDS: Final = {
    "FLOAT": "float", "DOUBLE": "float", "INT32": "int", "INT64": "int", "STRING": "str",
    "BOOL": "bool",
}  # fmt: skip
"""Types of values that a feature, or a request column, may have, as Python's."""

IMPORTS: Final = {"pd": "import pandas as pd", "np": "import numpy as np"}
"""Modules by the names that Feast's own pages give them: code may use these."""

LISTED: Final = '''\
def _listed(column, kind):
    """A column as Feast's python mode has it: a list, None where a value is missing."""
    return [None if pd.isna(value) else kind(value) for value in column]'''


Views = Mapping[str, tuple[str, Sequence[str]]]
"""Imported views by Feast's names: ours, and the features that were taken over."""


class LeftOutError(Exception):
    """An on-demand view that has no counterpart; the message says why, after its name."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that Feast offers the code: the parameter that brings it, and its names in the code.

    `kind` is its values' type; without one it cannot be had.
    """

    parameter: str
    names: tuple[str, ...]
    kind: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A translated function: its text, the modules that it uses, and whether it uses `LISTED`."""

    text: str
    modules: tuple[str, ...]
    listed: bool


def translate(spec: Mapping[str, Any], name: str, views: Views) -> Function:
    """Return an on-demand view as a function called `name`.

    Raises
    ------
    LeftOutError
        It has no counterpart.
    """
    code = (spec.get("featureTransformation") or {}).get("userDefinedFunction") or {}
    mode = code.get("mode") or spec.get("mode") or "pandas"
    if mode not in ("pandas", "python"):
        raise LeftOutError(f"is of mode {mode!r}, neither pandas nor python")
    for feature in spec.get("features", ()):
        if feature.get("valueType") not in KINDS:
            raise LeftOutError(f"gives {feature['name']!r}, which is {feature.get('valueType')}")
    body = _undecorated(code.get("bodyText", ""))
    columns = _chosen(tuple(_offered(spec, views)), _taken(body))
    modules = _modules(body)
    body.name = f"_{name}"  # the code of two may have one name
    gives = [feature["name"] for feature in spec.get("features", ())]
    call = _table(columns, mode) + _calls(body.name, mode, bool(spec.get("singleton")), gives)
    parameters = dict.fromkeys(column.parameter for column in columns)
    read = [
        ours
        for ours, _ in _views(spec, views)
        if any(p.startswith(f"{ours}__") for p in parameters)
    ]
    decorator = f"@ow.on_demand(features=[{', '.join(dict.fromkeys(read))}])"
    return Function(
        text=f"{ast.unparse(body)}\n\n\n{decorator if read else '@ow.on_demand'}\n"
        f"def {name}({', '.join(parameters)}):\n{textwrap.indent(call, ' ' * 4)}",
        modules=tuple(dict.fromkeys(("pd", *modules))),
        listed=mode == "python",
    )


def _undecorated(source: str) -> ast.FunctionDef:
    """Return a function without decorators and annotations: they name what is not there."""
    try:
        [function] = ast.parse(textwrap.dedent(source)).body
    except (SyntaxError, ValueError):
        raise LeftOutError("has code that is not readable") from None
    if not isinstance(function, ast.FunctionDef):
        raise LeftOutError("has code that is not readable")
    function.decorator_list, function.returns = [], None
    for argument in function.args.args:
        argument.annotation = None
    if len(function.args.args) != 1 or ast.unparse(function.args) != function.args.args[0].arg:
        raise LeftOutError("has code that takes more than its input")
    return function


def _modules(body: ast.FunctionDef) -> Sequence[str]:
    """Return the modules that the code uses by name; what else it takes from its file is lost."""
    table = symtable.symtable(ast.unparse(body), body.name, "exec")
    names = sorted({name for each in _tables(table) for name in each.get_globals()})
    free = [name for name in names if not hasattr(builtins, name)]
    if lost := [name for name in free if name not in IMPORTS]:
        raise LeftOutError(f"uses {lost[0]!r}, which Feast's registry does not hold")
    return free


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.Function]:
    if isinstance(table, symtable.Function):
        yield table
    for child in table.get_children():
        yield from _tables(child)


def _taken(body: ast.FunctionDef) -> set[str] | None:
    """Return the columns that the code takes of its input, None where it uses it as a whole."""
    given = body.args.args[0].arg
    taken: dict[int, str] = {}
    for node in ast.walk(body):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Name)
            and node.value.id == given
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, str)
        ):
            taken[id(node.value)] = node.slice.value
    used = {id(node) for node in ast.walk(body) if isinstance(node, ast.Name) and node.id == given}
    return set(taken.values()) if used == taken.keys() else None


def _views(spec: Mapping[str, Any], views: Views) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the views that it reads: our name for each, and what Feast says of it."""
    for source in spec.get("sources", {}).values():
        view = source.get("featureViewProjection")
        if view is None and "requestDataSource" not in source:
            raise LeftOutError("reads what is neither a request nor a feature view")
        if view is not None and view["featureViewName"] not in views:
            raise LeftOutError(f"reads {view['featureViewName']!r}, which is left out")
        if view is not None:
            yield views[view["featureViewName"]][0], view


def _offered(spec: Mapping[str, Any], views: Views) -> Iterator[Column]:
    """Yield the columns that Feast would hand the code, under their short and their full names."""
    for source in spec.get("sources", {}).values():
        for column in (
            source.get("requestDataSource", {}).get("requestDataOptions", {}).get("schema", ())
        ):
            yield Column(column["name"], (column["name"],), KINDS.get(column.get("valueType")))
    for ours, view in _views(spec, views):
        called = view.get("featureViewNameAlias") or view["featureViewName"]
        kept = views[view["featureViewName"]][1]
        for feature in view.get("featureColumns", ()):
            name = feature["name"]
            kind = KINDS.get(feature.get("valueType")) if name in kept else None
            yield Column(f"{ours}__{name}", (name, f"{called}__{name}"), kind)


def _chosen(offered: Sequence[Column], wanted: set[str] | None) -> Sequence[Column]:
    """Return the columns that the code reads, by the names that it reads them by."""
    shared = {n for n, count in Counter(n for c in offered for n in c.names).items() if count > 1}
    if wanted is None:  # it may look at any
        wanted = {name for column in offered if column.kind for name in column.names}
    found = []
    for column in offered:
        names = tuple(name for name in column.names if name in wanted)
        if both := shared & set(names):
            raise LeftOutError(f"reads {both.pop()!r}, which two of its sources have")
        if names and column.kind is None:
            raise LeftOutError(f"reads {names[0]!r}, which is no number, boolean or text")
        if names:
            found.append(Column(column.parameter, names, column.kind))
    if not found:
        raise LeftOutError("reads no column of its sources")
    return found


def _table(columns: Sequence[Column], mode: str) -> str:
    """Return the lines that put the code's input together, by its own names."""
    pairs = ((name, column) for column in columns for name in column.names)
    values = (
        (name, c.parameter if mode == "pandas" else f"_listed({c.parameter}, {c.kind})")
        for name, c in pairs
    )
    lines = "".join(f"    {json.dumps(name)}: {value},\n" for name, value in values)
    return f"columns = {{\n{lines}}}\n"


def _calls(code: str, mode: str, single: bool, gives: Sequence[str]) -> str:
    """Return the lines that call the code as Feast does, and give what we do."""
    if mode == "pandas":
        return f"return {code}(pd.DataFrame(columns))"
    if single:
        return (
            "rows = [dict(zip(columns, row)) for row in zip(*columns.values())]\n"
            f"return pd.DataFrame([{code}(row) for row in rows], columns={json.dumps(list(gives))})"
        )
    return (
        f"found = {code}(columns)\n"
        "return {name: pd.Series(values) for name, values in found.items()}"
    )
