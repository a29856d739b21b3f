from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from onward.core.errors import BusyError, CorruptError, OnwardError
from onward.infra.database import open_database
from onward.infra.database.sqlite import meaning


@pytest.fixture
def engine(tmp_path: Path):
    opened = open_database(tmp_path / "new" / "state.db")
    yield opened
    opened.dispose()


def test_every_connection_is_durable_and_patient(engine):
    with engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "busy_timeout": 30_000,
        "foreign_keys": 1,
    }


def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    file = tmp_path / "state.db"
    file.write_bytes(b"not a database at all" * 100)
    with pytest.raises(CorruptError, match=r"state\.db is damaged"):
        open_database(file)


def test_a_damaged_page_shows_when_it_is_read(tmp_path: Path):
    file = tmp_path / "state.db"
    engine = open_database(file)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x TEXT)")
        connection.exec_driver_sql("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    file.write_bytes(content)
    engine = open_database(file)
    with pytest.raises(CorruptError, match="damaged"), engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(x) FROM t WHERE x LIKE '%y'").scalar()
    engine.dispose()


def test_a_full_disk_is_told_as_one_and_nothing_is_half_written(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x TEXT)")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=3")
        with pytest.raises(OnwardError, match="the disk is full") as told:
            connection.exec_driver_sql("INSERT INTO t VALUES (?)", [("x" * 4_000,)] * 50)
        connection.rollback()
    assert "make room" in str(told.value)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 0


def test_a_database_that_may_not_be_written_says_so(engine):
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
        with pytest.raises(OnwardError, match="may not be written"):
            connection.exec_driver_sql("CREATE TABLE t (x)")


def test_a_path_through_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OnwardError, match="cannot be made"):
        open_database(tmp_path / "file" / "state.db")


def test_a_folder_is_no_database(tmp_path: Path):
    with pytest.raises(OnwardError, match="cannot be opened"):
        open_database(tmp_path)


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, BusyError, "another process"),
        (sqlite3.SQLITE_IOERR_WRITE, OnwardError, "the disk failed"),
    ],
)
def test_extended_codes_mean_what_their_primary_code_means(tmp_path: Path, code, kind, text):
    error = sqlite3.OperationalError("told by sqlite")
    error.sqlite_errorcode = code
    told = meaning(error, tmp_path / "state.db")
    assert type(told) is kind
    assert text in str(told)


def test_a_programming_error_stays_what_it_is(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER PRIMARY KEY)")
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1), (1)")
    assert meaning(ValueError("no"), Path("x")) is None
