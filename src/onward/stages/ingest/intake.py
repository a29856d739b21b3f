"""An intake: a source's new rows as a scan, with the cursor that covers exactly these rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onward.core.errors import DataError, DeclarationError
from onward.core.ports import Snapshot
from onward.stages.ingest import cursor, files, sql
from onward.stages.ingest.config import Files, Source, SqlTable
from onward.stages.ingest.cursor import SeenFile
from onward.stages.ingest.scan import Scan, scan_csv, scan_json, scan_parquet, scan_spool

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """`summary` is the cursor's entry for the published snapshot, `files` what `scan` reads."""

    scan: Scan
    summary: Mapping[str, str]
    files: Sequence[SeenFile] = ()


def anything_new(source: Source, history: Sequence[Snapshot], folder: Path) -> bool:
    """Tell whether there are rows to read; looks at names and sizes, or one ``max()``."""
    if isinstance(source.origin, Files):
        return files.unread(files.present(source.origin, folder), cursor.seen_files(history))
    return _beyond(source, source.origin, history, folder) is not None


def open_files(
    source: Source,
    origin: Files,
    *,
    history: Sequence[Snapshot],
    folder: Path,
    known: Sequence[str] | None,
    connection: DuckDBPyConnection,
) -> Intake | None:
    """Return every complete file that no snapshot has taken in, or None."""
    new = files.take(source, origin, folder, cursor.seen_files(history))
    if not new:
        return None
    paths = [folder / file.path for file in new]
    for path in paths:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty", location=source.location)
    if origin.format == "csv":
        scan = scan_csv(paths, known)
    elif origin.format == "parquet":
        scan = scan_parquet(connection, paths, known)
    else:
        scan = scan_json(connection, paths, known)
    return Intake(scan=scan, summary=cursor.of_files(new), files=new)


def open_table(
    source: Source,
    origin: SqlTable,
    *,
    history: Sequence[Snapshot],
    folder: Path,
    known: Sequence[str] | None,
    connection: DuckDBPyConnection,
    spool: Path,
) -> Intake | None:
    """Return the rows past the highest cursor value published so far, or None.

    The upper bound is fixed before the rows are read, so rows that arrive meanwhile wait for the
    next time. A row whose cursor is NULL, or not past a value already read, is never read.
    """
    upto = _beyond(source, origin, history, folder)
    if upto is None:
        return None
    after = cursor.position(history)
    names = sql.spool(source, origin, folder, after=after, upto=upto, into=spool)
    try:
        summary = cursor.of_position(upto)
    except TypeError as error:
        raise DeclarationError(
            f"column {origin.cursor!r} of {origin.table} cannot be a cursor: it holds {error}",
            expected="a column of numbers, text, dates or times that only grows",
            location=source.location,
        ) from None
    return Intake(scan=scan_spool(connection, spool, names, known), summary=summary)


def _beyond(
    source: Source, origin: SqlTable, history: Sequence[Snapshot], folder: Path
) -> object | None:
    after, upto = cursor.position(history), sql.highest(source, origin, folder)
    if upto is None or (after is not None and not upto > after):
        return None
    return upto  # type: ignore[no-any-return]  # whatever the driver gives for the column
