"""The contract: a source's columns, settled by its first rows, and what later rows may change."""

# ruff: noqa: S608 (queries are put together here; names are quoted)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from onward.core.errors import DataError, DeclarationError, nearest, unknown_name
from onward.core.records import UNREADABLE, Evolution
from onward.core.sql import identifier
from onward.stages.ingest.config import Source
from onward.stages.ingest.looks import infer
from onward.stages.ingest.reading import (
    TIMESTAMP,
    TYPES,
    normal,
    published_types,
    read_as,
    unreadable,
)
from onward.stages.ingest.scan import Scan, Shape

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_WIDENS: Final = {"BIGINT": "DOUBLE", "DATE": TIMESTAMP}
"""What a type can become with no value lost. Whatever there is can become text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """Rows that keep the contract, or change it as the source allows.

    `types` are those that existing columns are read as, in their order, under their new names.
    `changes` are the differences, a line each.
    """

    scan: Scan
    types: Mapping[str, str] | None
    evolution: Evolution | None
    changes: tuple[str, ...]


def known_columns(source: Source, published: pa.Schema | None) -> list[str] | None:
    """Return a published table's columns as they are called now.

    Raises
    ------
    DeclarationError
        A column is declared to be the new name of one that the table does not have.
    """
    if published is None:
        return None
    new = _renamed(source, published.names)
    return [new.get(name, name) for name in published.names]


def agree(
    source: Source, scan: Scan, published: pa.Schema | None, connection: DuckDBPyConnection
) -> Agreed:
    """Hold rows against the published columns.

    Raises
    ------
    DataError
        They break the contract: the error says how, column by column.
    DeclarationError
        A declared type contradicts the published one.
    """
    scan = _under_new_names(source, scan)
    if published is None:
        _require_alike(source, scan)
        return Agreed(scan=scan, types=None, evolution=None, changes=())
    renamed = {new: old for old, new in _renamed(source, published.names).items()}
    old_names = {old: new for new, old in renamed.items()}
    before = {old_names.get(n, n): kind for n, kind in published_types(published).items()}
    came, broken = _differences(source, scan, before)
    types, retyped, wrong = _retyped(source, scan, before, connection)
    if broken or wrong or (came and source.on_schema_change == "refuse"):
        raise _breach(source, scan, [*broken, *(c for c in came if c not in broken), *wrong])
    changes = [f"{old} is called {new}" for new, old in renamed.items()]
    changes += [*came, *retyped.values()]
    evolution = Evolution(renamed=renamed, retyped=tuple(retyped)) if renamed or retyped else None
    return Agreed(scan=scan, types=types, evolution=evolution, changes=tuple(changes))


def _renamed(source: Source, names: Sequence[str]) -> dict[str, str]:
    """Return the new names of published columns that are to be renamed, by the old ones."""
    for new, old in source.renamed.items():
        if new not in names and old not in names:
            what, expected = unknown_name(f"column of {source.table}", old, names)
            raise DeclarationError(
                f"renamed={{{new!r}: {old!r}}}: {what}", expected=expected, location=source.location
            )
    return {o: n for n, o in source.renamed.items() if o in names and n not in names}


def _under_new_names(source: Source, scan: Scan) -> Scan:
    """Return the scan with columns that still come under an old name under the new one."""
    for new, old in source.renamed.items():
        if old not in scan.columns:
            continue
        others = [name for name in scan.columns if name not in (old, new)]
        kind = scan.columns[old]
        value = f"CAST({identifier(old)} AS {kind})"
        if new in scan.columns:
            value = f"coalesce(TRY_CAST({identifier(new)} AS {kind}), {value})"
        beside = [UNREADABLE] if scan.unreadable else []
        beside += [scan.part] if scan.part else []
        read = map(identifier, (*others, *beside))
        selected = ", ".join([*read, f"{value} AS {identifier(new)}"])
        types = {new if n == old else n: t for n, t in scan.types.items() if n != new}
        scan = replace(
            scan,
            sql=f"SELECT {selected} FROM ({scan.sql})",
            columns={n: scan.columns[n] for n in others} | {new: kind},
            types=types,
            shapes=tuple(
                Shape(s.name, tuple(dict.fromkeys(new if c == old else c for c in s.columns)))
                for s in scan.shapes
            ),
        )
    return scan


def _require_alike(source: Source, scan: Scan) -> None:
    """Refuse first files that differ among themselves, unless columns may come."""
    first, *others = scan.shapes
    if source.on_schema_change == "evolve" or not others or scan.sparse:
        return
    expected = dict.fromkeys(first.columns, "")
    for shape in others:
        lines = _compared(shape, expected, scan)
        if lines:
            raise _breach(source, replace(scan, shapes=(shape,)), lines, than=first.name)


def _differences(
    source: Source, scan: Scan, before: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Return what columns came and went, and those lines that nothing allows."""
    needed = {*source.key, source.event_time, source.available_at, *source.subject, *source.types}
    found: list[str] = []
    broken: list[str] = []
    for shape in scan.shapes:
        lines = _compared(shape, before, scan)
        found += [line for line in lines if line not in found]
        gone = [] if scan.sparse else [n for n in needed if n in before and n not in shape.columns]
        broken += [line for n in gone for line in lines if line.startswith(f"- {n} ")]
    return found, list(dict.fromkeys(broken))


def _compared(shape: Shape, before: Mapping[str, str], scan: Scan) -> list[str]:
    missing = [] if scan.sparse else [n for n in before if n not in shape.columns]
    lines = [f"- {n} ({name_of(before[n])}): missing" if before[n] else f"- {n}: missing"
             for n in missing]  # fmt: skip
    new = [name for name in shape.columns if name not in before]
    alone = missing[0] if len(missing) == len(new) == 1 else None
    for name in new:
        close = nearest(name, missing) or alone
        lines.append(f"+ {name}: new" + (f"; was it {close!r}?" if close else ""))
    return lines


def _retyped(
    source: Source, scan: Scan, before: Mapping[str, str], connection: DuckDBPyConnection
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Return the types to read as, the columns that take another with a line each, and breaches."""
    types, retyped, wrong = dict(before), {}, []
    unfit = _unfit(scan, before, connection) if scan.typed else {}
    looks = _looks(source, scan, before, connection)
    for name, kind in before.items():
        if name in source.masked:
            continue
        declared = TYPES[source.types[name]] if name in source.types else None
        if declared is not None and declared != kind:
            if source.on_schema_change == "refuse" or declared not in _wider(kind):
                raise _other_type(source, name, kind)
            wanted: str | None = declared
        elif name in unfit:
            wanted = normal(scan.types.get(name, scan.columns[name]))
        else:
            wanted = looks.get(name)
        if wanted is None or wanted == kind:
            continue
        line = f"~ {name}: {name_of(kind)} in the table, {name_of(wanted)} here"
        if source.on_schema_change == "evolve" and wanted in _wider(kind):
            types[name] = wanted
            retyped[name] = line
        elif name in unfit:
            wrong.append(f"{line} ({unfit[name]!r})")
    return types, retyped, wrong


def _wider(kind: str) -> tuple[str, ...]:
    return (_WIDENS[kind], "VARCHAR") if kind in _WIDENS else ("VARCHAR",)


def _unfit(scan: Scan, before: Mapping[str, str], connection: DuckDBPyConnection) -> dict[str, str]:
    """Return a value of each column that cannot be read as the table's type."""
    columns = [read_as(n, scan.columns[n], k) for n, k in before.items() if n in scan.columns]
    doubtful = [c for c in columns if c.doubtful]
    if not doubtful:
        return {}
    selected = ", ".join(
        f"any_value({c.text}) FILTER ({unreadable(c.value, c.text)})" for c in doubtful
    )
    row = connection.execute(f"SELECT {selected} FROM ({scan.sql})").fetchone()
    assert row is not None
    return {c.name: value for c, value in zip(doubtful, row, strict=True) if value is not None}


def _looks(
    source: Source, scan: Scan, before: Mapping[str, str], connection: DuckDBPyConnection
) -> dict[str, str]:
    """Return the wider type that all values of a column look like, where text says no type."""
    if scan.typed or source.on_schema_change == "refuse":
        return {}
    narrow = [n for n, kind in before.items() if kind in _WIDENS and n in scan.columns]
    if not narrow:
        return {}
    found = {n: normal(scan.columns[n]) for n in narrow if scan.columns[n] != "VARCHAR"}
    text = [n for n in narrow if n not in found]
    if text:
        part = replace(scan, columns=dict.fromkeys(text, "VARCHAR"), types={})
        found |= infer(connection, part)
    return {n: found[n] for n in narrow if found[n] == _WIDENS[before[n]]}


def name_of(kind: str) -> str:
    """Return the name that a source declares a DuckDB type by."""
    return next((name for name, duckdb in TYPES.items() if duckdb == kind), kind.lower())


def _other_type(source: Source, name: str, kind: str) -> DeclarationError:
    return DeclarationError(
        f"column {name!r} is declared as {source.types[name]}, but {source.table} was published "
        f"with {name_of(kind)}",
        expected="the type that the table has had from its first batch on"
        + (f", or a wider one: {', '.join(map(name_of, _wider(kind)))}"
           if source.on_schema_change == "evolve" else ""),
        next_step="declare a source of another name to begin anew",
        location=source.location,
    )  # fmt: skip


def _breach(source: Source, scan: Scan, lines: Sequence[str], *, than: str = "") -> DataError:
    """Return the error for columns unlike the table's, or those of the first file, `than`."""
    guesses = [line for line in lines if "was it" in line]
    step = "restore the columns, or declare a source of another name"
    if source.on_schema_change == "refuse":
        step = "restore them, or let them change: on_schema_change='evolve'"
    if guesses:
        new, old = guesses[0].split(":")[0][2:], guesses[0].split("'")[1]
        step = f"if it is the same column: renamed={{{new!r}: {old!r}}}; else {step}"
    where = ", ".join(shape.name for shape in scan.shapes[:3])
    return DataError(
        f"{where}: other columns than {than or source.table} has\n    " + "\n    ".join(lines),
        expected="the columns that the first "
        + ("file had; if it is the odd one, take it away" if than else "rows had, in their types"),
        next_step=step,
        location=source.location,
    )
