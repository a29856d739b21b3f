"""Rules on keys: a key occurs once, a key exists elsewhere.

The keys that offend are found first, from the key columns alone, then the rows that have one, as
a bit string; in the pass over the batch a row's bit is looked up by its number. A join there would
carry every column of every row through a hash table, and lose the rows' order.
"""

# ruff: noqa: S608 (queries are put together here; names are quoted)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from onward.core.declarations import Check
from onward.core.errors import DeclarationError
from onward.core.records import ROW
from onward.core.sql import identifier
from onward.stages.validate.opened import BATCH, PUBLISHED, Opened, beside, holds
from onward.stages.validate.rules.rule import RowRule, require_columns, row_rule

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt

Keep = Literal["none", "first", "last"]
_KEYED: Final = "_keyed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """No two rows have the same values in `columns`; rows with a NULL among them are no offence.

    `keep` says which of several rows of a batch holds the rule: none, or the first or last by the
    column `by`. Ties go by the rest of the row, column by column, so the choice follows from the
    content alone. With `published`, a row whose key is published already never holds it.
    """

    columns: tuple[str, ...]
    keep: Keep = "none"
    by: str | None = None
    published: bool = True

    def offending(self, seen: Opened) -> str:
        """Return the query of keys that occur twice, or are `known` as published."""
        keys = ", ".join(f"{identifier(c)} AS k{i}" for i, c in enumerate(self.columns))
        present = " AND ".join(f"{identifier(c)} IS NOT NULL" for c in self.columns)
        twice = f"SELECT {keys} FROM {BATCH} WHERE {present} GROUP BY ALL HAVING count(*) > 1"
        if not self.published or seen.batch.mode != "append" or seen.before is None:
            return f"SELECT *, FALSE AS known FROM ({twice})"
        same = " AND ".join(f"p.{identifier(c)} = b.{identifier(c)}" for c in self.columns)
        listed = ", ".join(f"p.{identifier(c)} AS k{i}" for i, c in enumerate(self.columns))
        known = f"SELECT DISTINCT {listed} FROM {PUBLISHED} p SEMI JOIN {BATCH} b ON {same}"
        return (
            "SELECT * EXCLUDE (known), bool_or(known) AS known FROM "
            f"(SELECT *, FALSE AS known FROM ({twice}) UNION ALL "
            f"SELECT *, TRUE AS known FROM ({known})) GROUP BY ALL"
        )

    def spared(self, columns: Sequence[str], keys: str) -> str:
        """Return the condition under which a row holds the rule though its key offends."""
        assert self.by is not None
        parted = ", ".join(f"b.{identifier(c)}" for c in self.columns)
        falling = " DESC" if self.keep == "last" else ""
        rest = ", ".join(f"b.{identifier(c)}{falling}" for c in columns if c != self.by)
        order = f"b.{identifier(self.by)}{falling} NULLS LAST, {rest}"
        rank = f"row_number() OVER (PARTITION BY {parted} ORDER BY {order})"
        return f"(NOT {keys}.known AND {rank} = 1)"

    def require(self, check: Check, seen: Opened) -> None:
        """Refuse columns that are not there."""
        require_columns((*self.columns, self.by) if self.by else self.columns, seen.table, check)

    def bind(self, check: Check, seen: Opened) -> RowRule:
        return row_rule(check, seen.table[holds(check.name)])


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The values of `columns` are those of `keys` in a row of `dataset`; NULL refers to nothing.

    In a dataset that refers to itself, what is published counts and the batch with it.
    """

    columns: tuple[str, ...]
    dataset: str
    keys: tuple[str, ...]

    def offending(self, seen: Opened) -> str:
        """Return the query of the batch's keys that are not there."""
        keys = ", ".join(f"{identifier(c)} AS k{i}" for i, c in enumerate(self.columns))
        present = " AND ".join(f"{identifier(c)} IS NOT NULL" for c in self.columns)
        listed = ", ".join(f"{identifier(c)} AS k{i}" for i, c in enumerate(self.keys))
        if self.dataset != seen.batch.dataset:
            there = f"SELECT {listed} FROM {identifier(beside(self.dataset))}"
        else:
            tables = [BATCH] if seen.before is None else [BATCH, PUBLISHED]
            there = " UNION ALL ".join(f"SELECT {listed} FROM {table}" for table in tables)
        same = " AND ".join(f"r.k{i} = t.k{i}" for i in range(len(self.keys)))
        return (
            f"SELECT * FROM (SELECT DISTINCT {keys} FROM {BATCH} WHERE {present}) r "
            f"ANTI JOIN ({there}) t ON {same}"
        )

    def require(self, check: Check, seen: Opened) -> None:
        """Refuse keys that are not there, or are of another kind than what refers to them."""
        require_columns(self.columns, seen.table, check)
        here = dict(seen.table.schema().items())
        other = seen.table if self.dataset == seen.batch.dataset else seen.beside(self.dataset)
        require_columns(self.keys, other, check, of=self.dataset)
        there = dict(other.schema().items())
        for column, key in zip(self.columns, self.keys, strict=True):
            if not _alike(here[column], there[key]):
                raise DeclarationError(
                    f"check {check.name!r} refers from {column!r}, which is {here[column]}, to "
                    f"{self.dataset}.{key}, which is {there[key]}",
                    expected="two columns of one type",
                    location=check.location,
                )

    def bind(self, check: Check, seen: Opened) -> RowRule:
        return row_rule(check, seen.table[holds(check.name)])


def marked(seen: Opened, checks: Sequence[Check]) -> Opened:
    """Return the batch with `holds(name)` for every check on keys.

    Raises
    ------
    DeclarationError
        A check names a column that does not exist, or refers to one of another type.
    """
    keyed = {check.name: (check, rule) for check in checks if (rule := _on_keys(check.rule))}
    if not keyed:
        return seen
    for check, rule in keyed.values():
        rule.require(check, seen)
    rules = {name: rule for name, (_, rule) in keyed.items()}
    guilty = _guilty(seen, rules)
    flags = ", ".join(f"{_holding(name, guilty)} AS {identifier(holds(name))}" for name in rules)
    seen.connection.con.execute(
        f"CREATE TEMP VIEW {_KEYED} AS SELECT *, {flags} FROM {seen.relation}"
    )
    return replace(seen, table=seen.connection.table(_KEYED))


def _on_keys(rule: Any) -> Unique | References | None:
    """Return the rule on keys that a check is, or takes a share of."""
    if is_dataclass(type(rule)):
        rule = getattr(rule, "rule", rule)
    return rule if isinstance(rule, (Unique, References)) else None


def _guilty(seen: Opened, rules: Mapping[str, Unique | References]) -> dict[str, str]:
    """Return, by check, the variable with a bit for each row that offends; only where one does."""
    con = seen.connection.con
    guilty = {}
    for i, (name, rule) in enumerate(rules.items()):
        keys, rows = f"_keys_{i}", f"_rows_{i}"
        con.execute(f"CREATE TEMP TABLE {keys} AS {rule.offending(seen)}")
        if con.execute(f"SELECT 1 FROM {keys} LIMIT 1").fetchone() is None:
            continue
        con.execute(f"SET VARIABLE {rows} = ({_bits(rule, keys, seen)})")
        guilty[name] = rows
    return guilty


def _bits(rule: Unique | References, keys: str, seen: Opened) -> str:
    """Return the query of a bit string in which the bit of each row that offends is set."""
    joined = f"{BATCH} b JOIN {keys} ON {_same(rule, keys)}"
    if isinstance(rule, Unique) and rule.by is not None:
        spared = rule.spared(seen.columns, keys)
        joined = f"(SELECT b.{ROW} FROM {joined} QUALIFY NOT {spared}) b"
    return f"SELECT bitstring_agg(b.{ROW}, 1, {max(1, seen.batch.rows)}) FROM {joined}"


def _holding(check: str, guilty: Mapping[str, str]) -> str:
    """Return whether a row holds a check: looked up by its number, not joined, so order stays."""
    if check not in guilty:
        return "TRUE"
    bits = f"getvariable('{guilty[check]}')"
    return f"coalesce(get_bit({bits}, ({ROW} - 1)::INTEGER) = 0, TRUE)"


def _same(rule: Unique | References, keys: str) -> str:
    return " AND ".join(f"b.{identifier(c)} = {keys}.k{i}" for i, c in enumerate(rule.columns))


def _alike(one: dt.DataType, other: dt.DataType) -> bool:
    if one.is_numeric() and other.is_numeric():
        return True
    return bool(one.copy(nullable=True) == other.copy(nullable=True))
