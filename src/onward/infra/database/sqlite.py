"""SQLite engines, and what SQLite's error codes mean to a user."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.disk import no_room
from onward.core.errors import BusyError, CorruptError, OnwardError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import ExceptionContext

_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA busy_timeout=30000",
    "PRAGMA foreign_keys=ON",
)


def open_database(path: Path) -> Engine:
    """Open the SQLite database at `path`, made if it is missing (its folder too).

    Raises
    ------
    CorruptError
        The file is no SQLite database, or its header is damaged.
    OnwardError
        The file cannot be opened or written.
    """
    from sqlalchemy import create_engine, event

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OnwardError(
            f"the folder {path.parent} cannot be made: {error.strerror}",
            next_step="check the path and who may write to it",
        ) from None
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # A transaction that reads before it writes must not lose its place to another writer.
        connection.isolation_level = "IMMEDIATE"
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "handle_error")
    def _translate(context: ExceptionContext) -> None:
        told = meaning(context.original_exception, path)
        if told is not None:
            raise told from context.original_exception

    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA schema_version").scalar()
    return engine


def meaning(error: BaseException | None, path: Path) -> OnwardError | None:
    """Return what a SQLite error means to whoever owns the file, None where it is a program's."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    match code & 0xFF:  # the low byte is the primary code, the rest says where
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return CorruptError(
                f"{path} is damaged or no SQLite database",
                expected="a file that only Onward writes",
                next_step="restore it from a backup, with its -wal file if there is one",
            )
        case sqlite3.SQLITE_FULL:
            return no_room(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return OnwardError(
                f"{path} may not be written",
                expected="a file and a folder that this user may write to",
                next_step="check their owner, their mode, and whether the disk is read-only",
            )
        case sqlite3.SQLITE_CANTOPEN:
            return OnwardError(
                f"{path} cannot be opened",
                expected="a file in a folder that this user may write to",
                next_step="check the path and its permissions",
            )
        case sqlite3.SQLITE_IOERR:
            return OnwardError(
                f"the disk failed while {path} was read or written ({error})",
                next_step="check the disk; `onward audit verify` tells what is whole",
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return BusyError(
                f"another process has held {path} for more than 30 s",
                next_step="wait for it, or end it",
            )
    return None
