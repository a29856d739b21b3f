"""Audiences: whom a release is for, as a Python expression on the request's columns.

``country in ("NL", "BE") and amount < 100``: comparisons, ``in``, ``and``, ``or``, ``not``,
arithmetic, text, numbers, ``None``. Nothing else is run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from onward.core.errors import DeclarationError, Location, unknown_name

ALLOWED: Final = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod, ast.Name, ast.Load, ast.Constant,
    ast.Tuple, ast.List,
)  # fmt: skip

Audience = Callable[[Sequence[Any]], bool]


def parsed(text: str, location: Location | None = None) -> ast.Expression:
    """Parse an audience.

    Raises
    ------
    DeclarationError
        It is no expression, or holds what audiences cannot say.
    """
    expected = "an expression on request columns, such as country == 'NL' and amount < 100"
    if not isinstance(text, str):
        raise DeclarationError(
            f"the audience is {text!r}", expected=f"{expected}, as text", location=location
        )
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise DeclarationError(
            f"the audience {text!r} is no expression: {error.args[0]}",
            expected=expected,
            location=location,
        ) from None
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED):
            said = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
            raise DeclarationError(
                f"the audience {text!r} holds {said!r}", expected=expected, location=location
            )
    return tree


def require_columns(
    text: str, columns: Collection[str], location: Location | None = None
) -> ast.Expression:
    """Parse an audience and refuse one that reads a column that no request has.

    Raises
    ------
    DeclarationError
        It does.
    """
    tree = parsed(text, location)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in columns:
            what, expected = unknown_name("request column", node.id, columns)
            raise DeclarationError(
                f"the audience {text!r}: {what}", expected=expected, location=location
            )
    return tree


def compiled(text: str, columns: Sequence[str]) -> Audience:
    """Return what says whether a row, its values in the order of `columns`, is in the audience.

    A row that cannot be compared, for want of a value, is not in it.

    Raises
    ------
    DeclarationError
        It reads a column that no request has.
    """
    tree = require_columns(text, columns)
    places = _Places(columns)
    code = compile(ast.fix_missing_locations(places.visit(tree)), "<audience>", "eval")

    def within(row: Sequence[Any]) -> bool:
        try:
            return bool(eval(code, {"__builtins__": {}, "row": row}))  # noqa: S307 (see ALLOWED)
        except (TypeError, ZeroDivisionError):
            return False

    return within


class _Places(ast.NodeTransformer):
    """Makes each column's name its value's place in the row."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._places = {name: place for place, name in enumerate(columns)}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Return ``row[place]``."""
        return ast.Subscript(
            value=ast.Name(id="row", ctx=ast.Load()),
            slice=ast.Constant(value=self._places[node.id]),
            ctx=ast.Load(),
        )
