"""Mended rows: a file that was exported and corrected, laid over the rows in quarantine."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.core.disk import full
from onward.core.errors import DataError, unknown_name
from onward.core.records import UNREADABLE
from onward.core.sql import identifier, literal
from onward.stages.validate.quarantine.table import ID, OWN

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CHANGED: Final = "_changed"
"""The column of the rows to be judged that lists which of their columns mending changed."""

_READERS: Final = {
    ".csv": "read_csv({}, all_varchar = true, header = true)",
    ".parquet": "read_parquet({})",
    ".json": "read_json_objects({}, format = 'auto')",
    ".jsonl": "read_json_objects({}, format = 'newline_delimited')",
}


def read(connection: DuckDBPyConnection, file: Path) -> tuple[str, ...]:
    """Read corrected rows into a table ``mended`` and return their ids.

    The file has the quarantine's id column and whichever others were mended; those that it lacks
    stay as they are (in JSON, those that an object lacks).

    Raises
    ------
    DataError
        The file cannot be read, has no ids, or has one twice.
    """
    import duckdb

    reader = _READERS.get(file.suffix)
    if reader is None or not file.is_file():
        raise DataError(
            f"{file} is no file of mended rows",
            expected=f"a file that ends in {', '.join(_READERS)}",
            next_step="`onward quarantine export DATASET FILE` writes one to mend",
        )
    try:
        source = reader.format(literal(str(file)))
        connection.execute(f"CREATE OR REPLACE TEMP TABLE mended AS FROM {source}")
    except duckdb.Error as error:
        raise full(error) or DataError(
            f"{file} cannot be read: {str(error).splitlines()[0]}",
            expected="the file as it was exported, with other values",
        ) from None
    columns = _columns(connection)
    if ID not in columns:
        raise DataError(
            f"{file} has no column {ID}",
            expected="the rows' ids, as `onward quarantine export` writes them",
        )
    found = connection.execute(f"SELECT {columns[ID]} AS id FROM mended ORDER BY id").fetchall()
    ids = [row[0] for row in found]
    if len(set(ids)) < len(ids) or None in ids:
        twice = next((i for i in ids if i is None or ids.count(i) > 1), None)
        raise DataError(
            f"{file} has the row {twice} twice" if twice else f"{file} has a row without an id",
            expected="each row once, by its id",
        )
    return tuple(ids)


def lay_over(
    connection: DuckDBPyConnection,
    rows: str,
    types: Mapping[str, str],
    file: Path,
    masked: Collection[str] = (),
) -> None:
    """Leave of the table `rows` those that are in ``mended``, with the values that these have.

    `_mended` names the columns that were ever mended, `CHANGED` those that were now. `types` are
    the DuckDB types of the columns that may be mended. An empty cell means NULL, but leaves an
    empty text as it is. A value that could not be read counts as mended, and `_unreadable` is
    emptied, once all such columns of the row have a value.

    Raises
    ------
    DataError
        A column is unknown, a value cannot be read as its column's type, or a `masked` one was
        changed.
    """
    given = _columns(connection)
    for name in given:
        if name not in types and name not in OWN:
            what, expected = unknown_name("column", name, types)
            raise DataError(f"{file}: {what}", expected=expected)
    _require_readable(connection, given, types, file)
    values = {
        name: _laid_over(connection, name, given[name], kind) if name in given else _before(name)
        for name, kind in types.items()
    }
    replaced = ", ".join(f"{value} AS {identifier(name)}" for name, value in values.items())
    changed = ", ".join(
        f"CASE WHEN ({value}) IS DISTINCT FROM {_before(name)} THEN {literal(name)} END"
        for name, value in values.items()
    )
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE {rows} AS
        SELECT q.* REPLACE (
            {replaced},
            list_sort(list_distinct(list_concat(q._mended, [{changed}]::VARCHAR[]))) AS _mended,
            {_still_unreadable(connection, values)} AS {UNREADABLE},
            list_filter([{changed}]::VARCHAR[], lambda name: name IS NOT NULL) AS {CHANGED}
        )
        FROM {rows} AS q JOIN mended ON {given[ID]} = q.{ID}
    """)
    touched = f"list_intersect({CHANGED}, ?::VARCHAR[])"
    found = connection.execute(
        f"SELECT {ID}, {touched}[1] FROM {rows} WHERE len({touched}) > 0 LIMIT 1",
        [list(masked), list(masked)],
    ).fetchone()
    if found is not None:
        raise DataError(
            f"{file}: row {found[0]} has another value for {found[1]!r}, which is masked",
            expected="masked columns as they were exported: a file would show what the mask hides",
            next_step="mend the value where it comes from",
        )


def _before(name: str) -> str:
    return f"q.{identifier(name)}"


def _laid_over(connection: DuckDBPyConnection, name: str, given: str, kind: str) -> str:
    both_empty = (
        f"coalesce({given}::VARCHAR, '') = '' AND coalesce({_before(name)}::VARCHAR, '') = ''"
    )
    return (
        f"CASE WHEN {_present(connection, name)} AND NOT ({both_empty}) "
        f"THEN {_typed(given, kind)} ELSE {_before(name)} END"
    )


def released_before(
    connection: DuckDBPyConnection, ids: Sequence[str], versions: str, file: Path
) -> int:
    """Return how many of the mended rows do not wait any more.

    Raises
    ------
    DataError
        One was never in this quarantine.
    """
    found = connection.execute(
        f"SELECT asked.one, count(q.{ID}), count(q._released_by) "
        f"FROM (SELECT unnest(?::VARCHAR[]) AS one) AS asked "
        f"LEFT JOIN {versions} AS q ON q.{ID} = asked.one GROUP BY 1 ORDER BY 1",
        [list(ids)],
    ).fetchall()
    for one, versions_held, _ in found:
        if not versions_held:
            raise DataError(
                f"{file}: there is no row {one} in this quarantine",
                expected="ids as `onward quarantine export` wrote them, for the same dataset",
            )
    return sum(1 for _, _, released in found if released)


def _columns(connection: DuckDBPyConnection) -> dict[str, str]:
    """Return SQL for each column that the file has."""
    names = [row[0] for row in connection.execute("DESCRIBE mended").fetchall()]
    if names != ["json"]:
        return {name: f"mended.{identifier(name)}" for name in names}
    keys = connection.execute("SELECT DISTINCT unnest(json_keys(json)) FROM mended").fetchall()
    return {name: f"(mended.json->>{_path(name)})" for (name,) in sorted(keys)}


def _present(connection: DuckDBPyConnection, name: str) -> str:
    is_json = [row[0] for row in connection.execute("DESCRIBE mended").fetchall()] == ["json"]
    return f"json_exists(mended.json, {_path(name)})" if is_json else "true"


def _require_readable(
    connection: DuckDBPyConnection, given: Mapping[str, str], types: Mapping[str, str], file: Path
) -> None:
    for name, sql in given.items():
        if name not in types:
            continue
        found = connection.execute(
            f"SELECT {_columns(connection)[ID]}, {sql}::VARCHAR FROM mended "
            f"WHERE coalesce({sql}::VARCHAR, '') <> '' AND {_typed(sql, types[name])} IS NULL"
        ).fetchone()
        if found is not None:
            raise DataError(
                f"{file}: row {found[0]} has {found[1]!r} for {name!r}",
                expected=f"a value of type {types[name]}",
                next_step="mend the file and replay again: nothing was released",
            )


def _typed(sql: str, kind: str) -> str:
    """Return SQL that reads a given value as `kind`; NULL where it cannot be."""
    tried = f"TRY_CAST({sql} AS {kind})"
    if kind in ("INTEGER", "BIGINT"):  # DuckDB would round 1.5 to 2
        return f"CASE WHEN TRY_CAST({sql} AS DOUBLE) = {tried} THEN {tried} END"
    return tried


def _still_unreadable(connection: DuckDBPyConnection, values: Mapping[str, str]) -> str:
    """Return SQL for `_unreadable` after mending; a file that empties it accepts the NULLs."""
    kept = f"q.{UNREADABLE}"
    given = _columns(connection).get(UNREADABLE)
    if given is not None:
        emptied = f"{_present(connection, UNREADABLE)} AND coalesce({given}::VARCHAR, '') = ''"
        kept = f"CASE WHEN {emptied} THEN NULL ELSE {kept} END"
    open_ = " OR ".join(
        f"(({value}) IS NULL AND regexp_matches(q.{UNREADABLE}, {_begins(name)}))"
        for name, value in values.items()
    )
    settled = " OR ".join(
        f"(({value}) IS NOT NULL AND regexp_matches(q.{UNREADABLE}, {_begins(name)}))"
        for name, value in values.items()
    )
    return f"CASE WHEN ({settled}) AND NOT ({open_}) THEN NULL ELSE {kept} END"


def _begins(name: str) -> str:
    """Return the pattern that finds a column in the text of values that could not be read."""
    import re

    return literal(f"(^|; ){re.escape(name)}=")


def _path(name: str) -> str:
    escaped = name.replace('"', '\\"')
    return literal(f'$."{escaped}"')
