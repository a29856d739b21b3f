"""Whether a query works row by row over one of its tables: f(A and B) is f(A) and f(B).

Only then may the result for new rows be added to the result for the old ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlglot.optimizer.scope import Scope


def needs_all_rows(sql: str, table: str) -> str | None:
    """Return what in a query (DuckDB's dialect) needs all rows of `table` at once; None if nothing.

    The answer errs towards naming something.
    """
    import sqlglot
    from sqlglot.optimizer.scope import traverse_scope

    for scope in traverse_scope(sqlglot.parse_one(sql, read="duckdb")):
        if _reads(scope, table) and (found := _whole(scope, table)):
            return found
    return None


def _reads(source: Any, table: str) -> bool:
    """Tell whether a table, a subquery or a set of queries reads `table`, however far down."""
    from sqlglot import exp

    if isinstance(source, exp.Table):
        return str(source.name) == table
    return any(
        _reads(part, table)
        for part in (*source.sources.values(), *source.subquery_scopes, *source.union_scopes)
    )


def _whole(scope: Scope, table: str) -> str | None:
    from sqlglot import exp

    query = scope.expression
    if isinstance(query, exp.SetOperation):
        united = isinstance(query, exp.Union) and not query.args.get("distinct")
        each = all(_reads(part, table) for part in scope.union_scopes)
        return None if united and each else query.key.upper()
    for part in ("group", "distinct", "limit", "offset", "qualify"):
        if query.args.get(part):
            return part.upper().replace("GROUP", "GROUP BY")
    if next(scope.find_all(exp.Window), None) is not None:
        return "a window"
    if next(scope.find_all(exp.AggFunc), None) is not None:
        return "an aggregate"
    if any(_reads(part, table) for part in scope.subquery_scopes):
        return "a subquery"
    return _join(scope, table)


def _join(scope: Scope, table: str) -> str | None:
    """Return a join in which a row's result depends on other rows of the table."""
    reading = {name for name, source in scope.sources.items() if _reads(source, table)}
    reading &= {name for name, _ in scope.references}
    if len(reading) > 1:
        return "a join with itself"
    for join in scope.expression.args.get("joins") or ():
        side, kind = join.side.upper(), join.kind.upper()
        joined = join.alias_or_name in reading
        if side == "FULL" or (side == "LEFT" and joined) or (side == "RIGHT" and not joined):
            return f"a {side} JOIN that keeps rows of other tables"
        if kind in ("SEMI", "ANTI") and joined:
            return f"a {kind} JOIN"
    return None
