"""The catalog: one SQLite file that names each table's newest metadata."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

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

from onward.core.disk import full_disk_told
from onward.core.errors import (
    BusyError,
    CorruptError,
    DeclarationError,
    unknown_name,
)
from onward.infra.lake.columns import to_iceberg

_PROPERTIES = {
    "format-version": "2",
    "commit.retry.num-retries": "0",  # `commit.optimistic` retries, with the guards evaluated anew
    # Each commit adds a manifest, and a plan reads them all, a millisecond each: ten become one.
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "10",
    "commit.manifest.target-size-bytes": "1048576",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # Given up early where values differ: with row groups of `writing.GROUP` rows files are smaller
    # so, by a tenth to a third, and sooner written.
    "write.parquet.dict-size-bytes": "131072",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a lake is, if not all of it in its folder.

    Parameters
    ----------
    catalog
        The database that names tables, as a SQLAlchemy URL: ``postgresql://user@host/name``.
    warehouse
        Where the files are: ``s3://bucket/prefix``.
    options
        What opens the warehouse, by fsspec's names: ``key``, ``secret``, ``token``,
        ``endpoint_url``, ``region``, ``anon``.
    name
        What the catalog knows this lake by: several may share a database.
    """

    catalog: str = field(default="", repr=False)
    warehouse: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    name: str = "onward"


_OPTIONS: Final = {
    "key": "s3.access-key-id",
    "secret": "s3.secret-access-key",
    "token": "s3.session-token",
    "endpoint_url": "s3.endpoint",
    "region": "s3.region",
    "anon": "s3.anonymous",
}


def open_catalog(folder: Path, place: Place) -> SqlCatalog:
    """Open, or create, the catalog of the lake that keeps what is local in `folder` (absolute).

    Raises
    ------
    DeclarationError
        An option of the warehouse is not known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Plain paths: in a file:// URI a '#' or '%' in a folder's name would be read as syntax.
    database = URL.create("sqlite", database=str(folder / "catalog.db"), query={"timeout": "60"})
    uri = place.catalog.replace("postgresql://", "postgresql+psycopg://", 1)
    properties = {"py-io-impl": "onward.infra.lake.durable.DurableFileIO"}
    if "://" in place.warehouse:  # an object is there whole when it has been put
        properties = {"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO", **_opening(place)}
    # The lock: of two processes that open a new lake at once, PyIceberg lets one fail.
    with corruption(folder, "the lake's catalog"), FileLock(folder / "catalog.lock"):
        catalog = SqlCatalog(
            place.name,
            uri=uri or database.render_as_string(),
            warehouse=place.warehouse or str(folder / "warehouse"),
            **properties,
        )
    weakref.finalize(catalog, catalog.engine.dispose)
    return catalog


def _opening(place: Place) -> dict[str, str]:
    found = {"s3.region": "us-east-1"}  # else PyIceberg asks Amazon, whoever keeps the bucket
    for name, value in place.options.items():
        if name not in _OPTIONS:
            what, expected = unknown_name("option of the lake's warehouse", name, _OPTIONS)
            raise DeclarationError(what, expected=expected)
        found[_OPTIONS[name]] = str(value)
    return found


def load(catalog: SqlCatalog, table: str) -> Table | None:
    """Return the table as it now stands, or None."""
    try:
        return catalog.load_table(table)
    except NoSuchTableError:
        return None


def create(
    catalog: SqlCatalog, table: str, columns: pa.Schema, properties: Mapping[str, str]
) -> Table:
    """Create a table with `columns` and no snapshot, or return the one that another created.

    `properties` are Iceberg's, beside those that every table has.
    """
    with suppress(IntegrityError, NamespaceAlreadyExistsError):  # another process was faster
        catalog.create_namespace_if_not_exists(table.rpartition(".")[0])
    try:
        return catalog.create_table(
            table, to_iceberg(columns), properties={**_PROPERTIES, **properties}
        )
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
    OnwardError
        The disk is full.
    """
    try:
        with full_disk_told(folder):
            yield
    except OperationalError as error:
        if "connect" in str(error):
            raise _silent(subject, str(error.orig)) from error
        if "locked" in str(error):
            raise BusyError(
                f"another process holds {subject} in {folder}",
                next_step="wait until it has finished, then run the same command again",
            ) from error
        raise _unreadable(folder, subject, error) from error
    except _UNREADABLE as error:
        raise _unreadable(folder, subject, error) from error
    except OSError as error:
        if "AWS Error" not in str(error):
            raise
        raise _silent(subject, str(error)) from error


def _silent(subject: str, cause: str) -> BusyError:
    return BusyError(
        f"{subject} cannot be reached: {cause.splitlines()[0]}",
        expected="servers that answer where [lake] in onward.toml says",
        next_step="run the same command again when they do: nothing was lost",
    )


def _unreadable(folder: Path, subject: str, error: Exception) -> CorruptError:
    cause = str(getattr(error, "orig", error)).splitlines()[0]
    return CorruptError(
        f"{subject} in {folder} cannot be read: {cause}",
        expected="the lake's files, unaltered and in the place where they were written",
        next_step=f"restore {folder} from a backup, or move it away and run the pipeline again",
    )
