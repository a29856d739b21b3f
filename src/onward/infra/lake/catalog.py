"""The catalog: one SQLite file that names each table's newest metadata."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
from filelock import FileLock
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
    ValidationError,
)
from pyiceberg.table import Table
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from onward.core.errors import BusyError, CorruptError
from onward.infra.lake.columns import to_iceberg

_PROPERTIES = {
    "format-version": "2",
    "commit.retry.num-retries": "0",  # `commit.optimistic` retries, with the guards evaluated anew
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}

# What parsing altered metadata, manifests and Parquet files was seen to raise.
_UNREADABLE = (
    DatabaseError,
    EOFError,
    FileNotFoundError,
    SystemError,
    ValidationError,
    ValueError,
)


def open_catalog(folder: Path) -> SqlCatalog:
    """Open, or create, the catalog of the lake in `folder` (absolute)."""
    folder.mkdir(parents=True, exist_ok=True)
    # Plain paths: in a file:// URI a '#' or '%' in a folder's name would be read as syntax.
    database = URL.create("sqlite", database=str(folder / "catalog.db"), query={"timeout": "60"})
    # The lock: of two processes that open a new lake at once, PyIceberg lets one fail.
    with corruption(folder, "the lake's catalog"), FileLock(folder / "catalog.lock"):
        return SqlCatalog(
            "onward",
            uri=database.render_as_string(),
            warehouse=str(folder / "warehouse"),
            **{"py-io-impl": "onward.infra.lake.durable.DurableFileIO"},
        )


def load(catalog: SqlCatalog, table: str) -> Table | None:
    """Return the table as it now stands, or None."""
    try:
        return catalog.load_table(table)
    except NoSuchTableError:
        return None


def create(catalog: SqlCatalog, table: str, columns: pa.Schema) -> Table:
    """Create a table with `columns` and no snapshot, or return the one that another created."""
    with suppress(IntegrityError, NamespaceAlreadyExistsError):  # another process was faster
        catalog.create_namespace_if_not_exists(table.rpartition(".")[0])
    try:
        return catalog.create_table(table, to_iceberg(columns), properties=_PROPERTIES)
    except TableAlreadyExistsError:
        return catalog.load_table(table)


@contextmanager
def corruption(folder: Path, subject: str) -> Iterator[None]:
    """Turn what unreadable stored state raises into errors that say what to do.

    Raises
    ------
    CorruptError
        The catalog is no database, or a metadata or data file is missing or unreadable.
    BusyError
        Another process holds the catalog for longer than its timeout.
    """
    try:
        yield
    except OperationalError as error:
        if "locked" in str(error):
            raise BusyError(
                f"another process holds {subject} in {folder}",
                next_step="wait until it has finished, then run the same command again",
            ) from error
        raise _unreadable(folder, subject, error) from error
    except _UNREADABLE as error:
        raise _unreadable(folder, subject, error) from error


def _unreadable(folder: Path, subject: str, error: Exception) -> CorruptError:
    cause = str(getattr(error, "orig", error)).splitlines()[0]
    return CorruptError(
        f"{subject} in {folder} cannot be read: {cause}",
        expected="the lake's files, unaltered and in the place where they were written",
        next_step=f"restore {folder} from a backup, or move it away and run the pipeline again",
    )
