"""Looking into a quarantine: which rows are meant, how many wait, and writing them to a file."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import DataError, DeclarationError, NotFoundError, unknown_name
from onward.core.files import unfinished
from onward.core.ports import Lake
from onward.core.records import UNREADABLE, Selection
from onward.core.sql import literal
from onward.stages.validate.quarantine.table import ID, OWN, newest, standing, table_of

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

FORMATS: Final = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".jsonl": "json"}
_FOREMOST: Final = (ID, "_reasons")
_LISTS: Final = ("_reasons", "_rules", "_mended")


def choose(versions: ir.Table, selection: Selection) -> ir.Table:
    """Return the chosen rows of a quarantine, each as it stands now.

    Raises
    ------
    DeclarationError
        The condition is no SQL condition on the columns.
    """
    rows = newest(versions)
    if selection.state != "all":
        waits = rows["_released_by"].isnull()
        rows = rows.filter(waits if selection.state == "waiting" else ~waits)
    if selection.rule is not None:
        rows = rows.filter(rows["_reasons"].contains(selection.rule))
    if selection.run is not None:
        rows = rows.filter(rows["_run"] == selection.run)
    if selection.ids:
        rows = rows.filter(rows[ID].isin(selection.ids))
    if selection.since is not None:
        rows = rows.filter(rows["_quarantined_at"] >= selection.since)
    return rows if selection.where is None else _where(rows, selection.where)


def counts(table: str, selection: Selection, *, lake: Lake) -> tuple[int, int, Mapping[str, int]]:
    """Return how many of the chosen rows wait and were released, and the rules that those broke."""
    with _opened(table, lake) as connection:
        rows = _chosen(connection, table, selection, lake)
        waits = rows["_released_by"].isnull()
        [found] = (
            rows.aggregate(waiting=waits.sum(), released=(~waits).sum()).to_pyarrow().to_pylist()
        )
        named = rows.filter(waits).select(rule=rows["_reasons"].unnest())
        rules = named.rule.value_counts(name="rows").to_pyarrow().to_pylist()
    ordered = sorted(rules, key=lambda row: (-row["rows"], row["rule"]))
    return (
        found["waiting"] or 0,
        found["released"] or 0,
        {row["rule"]: row["rows"] for row in ordered},
    )


def rows_of(
    table: str, selection: Selection, *, lake: Lake, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Return the newest of the chosen rows, up to `limit`, as plain values."""
    import ibis

    with _opened(table, lake) as connection:
        rows = _chosen(connection, table, selection, lake)
        newest_first = rows.order_by(ibis.desc("_quarantined_at"), rows[ID].length(), ID)
        found: list[dict[str, Any]] = newest_first.limit(limit).to_pyarrow().to_pylist()
    return found


def export(table: str, selection: Selection, file: Path, *, lake: Lake) -> int:
    """Write the chosen rows to `file`, whole or not at all, and return how many they are.

    The ending says the format: ``.csv``, ``.parquet``, ``.json`` or ``.jsonl`` (one object a
    line). A list of reasons is text in CSV, parted by ``; ``.

    Raises
    ------
    DeclarationError
        The ending is none of these.
    DataError
        The file cannot be written.
    """
    import duckdb

    written = FORMATS.get(file.suffix)
    if written is None:
        raise DeclarationError(
            f"the format of {str(file)!r} is not known",
            expected=f"a name that ends in {', '.join(FORMATS)}",
        )
    part = unfinished(file)
    with _opened(table, lake) as connection:
        rows = _chosen(connection, table, selection, lake)
        rows = rows.order_by("_quarantined_at", rows[ID].length(), ID).relocate(*_FOREMOST)
        if written == "csv":
            rows = rows.mutate(**{name: rows[name].join("; ") for name in _LISTS})
        options = {"csv": "(FORMAT csv, HEADER)", "parquet": "(FORMAT parquet)"}
        chosen = options.get(written, f"(FORMAT json, ARRAY {str(file.suffix == '.json').lower()})")
        try:
            copied = connection.con.execute(
                f"COPY ({_sql(rows)}) TO {literal(str(part))} {chosen}"
            ).fetchone()
            part.replace(file)
        except (OSError, duckdb.IOException) as error:
            raise _unwritable(file, error) from None
        finally:
            part.unlink(missing_ok=True)
    return int(copied[0]) if copied else 0


def require_held(tables: Sequence[str], selection: Selection, *, lake: Lake) -> None:
    """Refuse a selection that names a rule, a run or an id that no quarantine ever held.

    Raises
    ------
    NotFoundError
        It does, with the nearest name that is there.
    """
    asked = [
        ("rule with rows in quarantine", selection.rule, "_reasons"),
        ("run with rows in quarantine", selection.run, "_run"),
        *(("row in quarantine", one, ID) for one in selection.ids),
    ]
    for kind, name, column in asked:
        if name is not None:
            _require(kind, name, {n for table in tables for n in _names(table, column, lake)})


def _names(table: str, column: str, lake: Lake) -> Sequence[str]:
    with _opened(table, lake) as connection:
        found = connection.table("quarantine")[column]
        named = (found.unnest() if column == "_reasons" else found).name("name")
        names: list[str] = named.as_table().distinct().to_pyarrow()["name"].to_pylist()
    return names


def _require(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        what, expected = unknown_name(kind, name, known)
        raise NotFoundError(
            what, expected=expected, next_step="`onward quarantine show` lists what is there"
        )


@contextmanager
def _opened(table: str, lake: Lake) -> Iterator[Backend]:
    """Open a table's quarantine as ``quarantine``."""
    with lake.open({"quarantine": lake.dataset(table_of(table))}) as connection:
        yield connection


def _chosen(connection: Backend, table: str, selection: Selection, lake: Lake) -> ir.Table:
    """Return the chosen rows, without those that a later build of the table judged again."""
    rows = choose(connection.table("quarantine"), selection)
    runs = standing(table, lake=lake) if selection.run is None else None
    return rows if runs is None else rows.filter(rows["_run"].isin(runs))


def _where(rows: ir.Table, condition: str) -> ir.Table:
    import duckdb
    import sqlglot

    try:
        read = sqlglot.condition(condition, dialect="duckdb").sql(dialect="duckdb")
        return rows.alias("chosen").sql(f"SELECT * FROM chosen WHERE {read}")
    except (sqlglot.errors.SqlglotError, duckdb.Error) as error:
        shown = [name for name in rows.columns if name not in OWN or name in (ID, UNREADABLE)]
        raise DeclarationError(
            f"--where {condition!r} is no condition: {str(error).splitlines()[0]}",
            expected=f"SQL on the columns {', '.join(shown)}",
        ) from None


def _sql(rows: ir.Table) -> str:
    import ibis

    return str(ibis.to_sql(rows, dialect="duckdb"))


def _unwritable(file: Path, error: Exception) -> DataError:
    return DataError(
        f"{file} cannot be written: {str(error).splitlines()[0]}",
        expected="a folder that exists and may be written to",
    )
