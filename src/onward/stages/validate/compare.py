"""Two tables compared: their columns, their rows by key, and how each column is distributed."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from onward.core import distance
from onward.core.errors import DeclarationError, unknown_name
from onward.core.ports import Lake
from onward.core.records import Column, ColumnDiff, DatasetRef, Diff, Retyped, RowDiff
from onward.core.sql import identifier
from onward.stages.validate.profile import profile
from onward.stages.validate.rules.distribution import bins

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BEFORE: Final = "before"
_AFTER: Final = "after"


def compare(
    before: DatasetRef,
    after: DatasetRef,
    *,
    lake: Lake,
    key: Sequence[str] = (),
    personal: Sequence[str] = (),
) -> Diff:
    """Say what is different in `after`.

    Rows are matched by `key` where it identifies them in both; else whole rows are counted.
    Distributions are compared in bins cut from `before`, of a sample where it is large; those of
    `personal` columns are not.

    Raises
    ------
    DeclarationError
        A column of the key is not in both.
    """
    with lake.open({_BEFORE: before, _AFTER: after}) as opened:
        con = opened.con
        old, new = _types(con, _BEFORE), _types(con, _AFTER)
        common = [name for name in old if name in new]
        for name in key:
            if name not in common:
                what, expected = unknown_name("column in both", name, common)
                raise DeclarationError(what, expected=expected)
        return Diff(
            before=before,
            after=after,
            added=tuple(Column(name=n, dtype=k) for n, k in new.items() if n not in old),
            dropped=tuple(Column(name=n, dtype=k) for n, k in old.items() if n not in new),
            retyped=tuple(
                Retyped(name=n, before=old[n], after=new[n]) for n in common if old[n] != new[n]
            ),
            rows=_rows(con, old, new, common, tuple(key)),
            columns=_columns(con, old, new, common, personal),
        )


def _types(con: DuckDBPyConnection, table: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in con.execute(f"DESCRIBE {table}").fetchall()}


def _rows(
    con: DuckDBPyConnection,
    old: Mapping[str, str],
    new: Mapping[str, str],
    common: Sequence[str],
    key: tuple[str, ...],
) -> RowDiff:
    why = "no key is known: name one with --key"
    if key:
        twice = next((side for side in (_BEFORE, _AFTER) if _repeated(con, side, key)), None)
        if twice is None:
            return _by_key(con, old, new, common, key)
        why = f"{', '.join(key)} occurs more than once {twice}"
    return _by_row(con, old, new, common, why)


def _by_key(
    con: DuckDBPyConnection,
    old: Mapping[str, str],
    new: Mapping[str, str],
    common: Sequence[str],
    key: tuple[str, ...],
) -> RowDiff:
    same = " AND ".join(f"a.{identifier(k)} = b.{identifier(k)}" for k in key)
    other = [name for name in common if name not in key]
    differs = {
        name: f"{_value('a', name, old, new)} IS DISTINCT FROM {_value('b', name, old, new)}"
        for name in other
    }
    both = "a._there AND b._there"
    anything = " OR ".join(f"({test})" for test in differs.values()) or "false"
    asked = [
        "count(a._there)", "count(b._there)",
        "count(*) FILTER (a._there IS NULL)", "count(*) FILTER (b._there IS NULL)",
        f"count(*) FILTER ({both} AND ({anything}))",
        *(f"count(*) FILTER ({both} AND ({test}))" for test in differs.values()),
    ]  # fmt: skip
    found = con.execute(
        f"SELECT {', '.join(asked)} FROM (SELECT *, true AS _there FROM {_BEFORE}) AS a "
        f"FULL JOIN (SELECT *, true AS _there FROM {_AFTER}) AS b ON {same}"
    ).fetchone()
    assert found is not None
    by_column = {name: n for name, n in zip(other, found[5:], strict=True) if n}
    return RowDiff(
        how="key",
        key=key,
        before=found[0],
        after=found[1],
        added=found[2],
        removed=found[3],
        changed=found[4],
        columns=dict(sorted(by_column.items(), key=lambda pair: -pair[1])),
    )


def _by_row(
    con: DuckDBPyConnection,
    old: Mapping[str, str],
    new: Mapping[str, str],
    common: Sequence[str],
    why: str,
) -> RowDiff:
    listed = ", ".join(f"{_value('t', name, old, new)} AS {identifier(name)}" for name in common)
    # Without a column in common no row is another's.
    rows = {side: f"SELECT {listed or repr(side)} FROM {side} AS t" for side in (_BEFORE, _AFTER)}
    found = con.execute(
        f"SELECT (SELECT count(*) FROM {_BEFORE}), (SELECT count(*) FROM {_AFTER}), "
        f"(SELECT count(*) FROM ({rows[_AFTER]} EXCEPT ALL {rows[_BEFORE]})), "
        f"(SELECT count(*) FROM ({rows[_BEFORE]} EXCEPT ALL {rows[_AFTER]}))"
    ).fetchone()
    assert found is not None
    before, after, added, removed = found
    return RowDiff(how="rows", before=before, after=after, added=added, removed=removed, why=why)


def _repeated(con: DuckDBPyConnection, table: str, key: Sequence[str]) -> bool:
    listed = ", ".join(identifier(name) for name in key)
    query = f"SELECT 1 FROM {table} GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
    return con.execute(query).fetchone() is not None


def _value(side: str, name: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return a column; as text where its type is another on the other side."""
    column = f"{side}.{identifier(name)}"
    return column if old[name] == new[name] else f"{column}::VARCHAR"


def _columns(
    con: DuckDBPyConnection,
    old: Mapping[str, str],
    new: Mapping[str, str],
    common: Sequence[str],
    personal: Sequence[str],
) -> tuple[ColumnDiff, ...]:
    """Compare the columns that both have; times as seconds, so that they are numbers too."""
    for side, types in ((_BEFORE, old), (_AFTER, new)):
        listed = ", ".join(f"{_number(name, types[name])} AS {identifier(name)}" for name in common)
        con.execute(f"CREATE TEMP VIEW {side}_numbers AS SELECT {listed or '1 AS one'} FROM {side}")
    if not common:
        return ()
    facts = {
        side: profile(con, f"{side}_numbers", common, personal=personal)
        for side in (_BEFORE, _AFTER)
    }
    found = [_column(con, name, facts[_BEFORE], facts[_AFTER]) for name in common]
    return tuple(sorted(found, key=lambda c: -(c.distance or 0.0)))


def _column(
    con: DuckDBPyConnection, name: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> ColumnDiff:
    old, new = before["columns"][name], after["columns"][name]
    mean = old.get("mean"), new.get("mean")
    shift = None
    spreads = old.get("std"), new.get("std")
    if None not in (*mean, *spreads):
        shift = distance.mean_difference((mean[0], spreads[0]), (mean[1], spreads[1]))
    return ColumnDiff(
        name=name,
        distance=_distance(con, name, before, after),
        missing=(_share(old, before), _share(new, after)),
        mean=mean,
        shift=shift if shift is None or math.isfinite(shift) else None,
    )


def _distance(
    con: DuckDBPyConnection, name: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> float | None:
    old, new = before["columns"][name], after["columns"][name]
    if old["type"] != new["type"] or not before["rows"] or not after["rows"]:
        return None
    binned = bins(name, old, before["rows"])
    if binned is None:
        return None
    query, reference = binned
    asked = con.execute(f"SELECT {query} FROM {_AFTER}_numbers").fetchone()
    counts = list((asked and asked[0]) or [0] * (len(reference) - 1))
    observed = [*counts, after["rows"] - sum(counts)]
    return distance.jensen_shannon(reference, observed)


def _number(name: str, kind: str) -> str:
    timely = kind in ("DATE", "TIME") or kind.startswith("TIMESTAMP")
    return f"epoch({identifier(name)})" if timely and not kind.endswith("]") else identifier(name)


def _share(facts: Mapping[str, Any], of: Mapping[str, Any]) -> float:
    return facts["nulls"] / of["rows"] if of["rows"] else 0.0
