from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock

from onward.core.errors import BusyError, CorruptError, OnwardError
from onward.core.events import Event
from onward.infra.database import open_database
from onward.watch.audit.adapters import rows
from onward.watch.audit.adapters.sql import SqlLedger

AT = datetime(2013, 1, 1, tzinfo=UTC)


def event(number: int) -> Event:
    return Event(
        kind="model.trained",
        key=str(number),
        subject="flight_delay",
        at=AT,
        inputs=(f"training:{number}",),
        outputs=(f"trained:{number}",),
        facts={"rows": number},
    )


@pytest.fixture
def ledger(tmp_path: Path):
    engine = open_database(tmp_path / "onward.db")
    made = SqlLedger(engine)
    made.extend(event(n) for n in range(1, 9))
    yield made
    engine.dispose()


def tamper(folder: Path, *statements: str) -> None:
    """Change the tables as somebody with a SQL prompt would."""
    with sqlite3.connect(folder / "onward.db") as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount != 0
    connection.close()


def rehash(folder: Path, start: int) -> None:
    """Compute the hashes anew from event `start` on, as a careful forger would."""
    with sqlite3.connect(folder / "onward.db") as connection:
        [(previous,)] = connection.execute("SELECT hash FROM events WHERE seq = ?", (start - 1,))
        told = connection.execute("SELECT seq, body FROM events WHERE seq >= ? ORDER BY seq",
                                  (start,)).fetchall()  # fmt: skip
        for seq, body in told:
            digest = rows.link(previous, body.encode())
            connection.execute(
                "UPDATE events SET previous = ?, hash = ? WHERE seq = ?", (previous, digest, seq)
            )
            previous = digest
    connection.close()


def test_a_whole_ledger_verifies_and_has_a_head(ledger: SqlLedger, tmp_path: Path):
    assert ledger.verify() == 8
    head = ledger.head()
    assert head.seq == 8
    lines = (tmp_path / "ledger.heads").read_text().splitlines()
    assert lines[-1] == f"8 {head.hash}"
    assert len(lines) == 8


def test_an_empty_ledger_has_no_head(tmp_path: Path):
    engine = open_database(tmp_path / "onward.db")
    empty = SqlLedger(engine)
    assert empty.head() is None
    assert empty.verify() == 0
    engine.dispose()


@pytest.mark.parametrize("verb", ["UPDATE events SET subject = 'x'", "DELETE FROM events_refs"])
def test_the_tables_refuse_to_be_changed(ledger: SqlLedger, tmp_path: Path, verb):
    connection = sqlite3.connect(tmp_path / "onward.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(verb)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE events SET body = replace(body, '\"rows\":3', '\"rows\":4') WHERE seq = 3",
         "event 3 was altered"),
        ("UPDATE events SET body = '{' WHERE seq = 3", "event 3 was altered"),
        ("UPDATE events SET hash = previous WHERE seq = 3", "event 3 was altered"),
        ("UPDATE events SET previous = hash WHERE seq = 3", "event 3 does not follow"),
        ("DELETE FROM events WHERE seq = 3", "event 3 is missing"),
        ("DELETE FROM events WHERE seq >= 6", "event 6 was cut off the end"),
        ("DELETE FROM events", "event 1 was cut off the end"),
        ("UPDATE events SET subject = 'other' WHERE seq = 5", "event 5 has columns"),
        ("UPDATE events SET run = 'other' WHERE seq = 5", "event 5 has columns"),
        ("DELETE FROM events_refs WHERE seq = 7 AND role = 'in'", "event 7 has lineage edges"),
        ("INSERT INTO events_refs VALUES ('model:x@1', 'out', 2)", "event 2 has lineage edges"),
        ("INSERT INTO events_refs VALUES ('model:x@1', 'out', 99)", "event 9 is missing"),
    ],
)  # fmt: skip
def test_a_change_shows_with_its_place(ledger: SqlLedger, tmp_path: Path, statement, told):
    tamper(tmp_path, statement)
    with pytest.raises(CorruptError, match=told):
        ledger.verify()


def test_a_forged_chain_does_not_match_its_heads(ledger: SqlLedger, tmp_path: Path):
    tamper(tmp_path, "UPDATE events SET body = replace(body, '\"rows\":3', '\"rows\":4') "
           "WHERE seq = 3")  # fmt: skip
    rehash(tmp_path, 3)
    with pytest.raises(CorruptError, match=r"event 3 is not what ledger\.heads recorded"):
        ledger.verify()


def test_a_body_that_hashes_right_and_is_no_event_is_refused(ledger: SqlLedger, tmp_path: Path):
    tamper(tmp_path, "UPDATE events SET body = '{}' WHERE seq = 8")
    rehash(tmp_path, 8)
    with pytest.raises(CorruptError, match="event 8 cannot be read"):
        ledger.verify()


def test_heads_that_were_changed_show(ledger: SqlLedger, tmp_path: Path):
    heads = tmp_path / "ledger.heads"
    lines = heads.read_text().splitlines(keepends=True)
    heads.write_text("".join(lines[:3] + lines[4:]))
    with pytest.raises(CorruptError, match="event 4 is not what"):
        ledger.verify()
    heads.write_text("".join([*lines[:3], "4 not-a-hash\n", *lines[4:]]))
    with pytest.raises(CorruptError, match="holds a line that is no head"):
        ledger.verify()
    heads.unlink()
    with pytest.raises(CorruptError, match=r"ledger\.heads is gone"):
        ledger.verify()


def test_lines_that_a_crash_left_out_are_written_by_the_next_append(
    ledger: SqlLedger, tmp_path: Path
):
    heads = tmp_path / "ledger.heads"
    lines = heads.read_text().splitlines(keepends=True)
    heads.write_text("".join(lines[:6]) + lines[6][:20])
    assert ledger.verify() == 8
    ledger.append(event(9))
    assert heads.read_text().splitlines(keepends=True)[:8] == lines
    assert ledger.verify() == 9
    heads.unlink()
    ledger.append(event(10))
    assert ledger.verify() == 10


def test_a_disk_that_takes_no_line_says_so_and_the_event_is_kept(ledger: SqlLedger, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OnwardError, match=r"ledger\.heads could not be written: No space"):
            ledger.append(event(9))
    assert ledger.append(event(9)).seq == 9
    ledger.append(event(10))
    assert ledger.verify() == 10


def test_many_at_once_are_all_or_none(ledger: SqlLedger):
    unfit = Event(kind="a.b", key="", subject="", at=AT, facts={"x": object()})
    with pytest.raises(OnwardError, match="no JSON value"):
        ledger.extend([event(9), unfit])
    assert ledger.verify() == 8
    again = ledger.extend([event(9), event(9), event(2)])
    assert [told.seq for told in again] == [9, 9, 2]
    assert ledger.verify() == 9


def test_threads_keep_one_chain(ledger: SqlLedger):
    def tell(first: int) -> None:
        for number in range(first, first + 10):
            ledger.append(event(number))

    threads = [threading.Thread(target=tell, args=(n,)) for n in (100, 105, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.verify() == 8 + 25


def test_a_ledger_that_stays_held_is_busy(ledger: SqlLedger, tmp_path: Path):
    ledger._lock = FileLock(tmp_path / "ledger.lock", timeout=0.05)
    told: list[BaseException] = []

    def tell() -> None:
        with pytest.raises(BusyError, match="held the ledger") as error:
            ledger.append(event(9))
        told.append(error.value)

    with ledger._alone():
        waiting = threading.Thread(target=tell)
        waiting.start()
        waiting.join()
    assert len(told) == 1


APPEND = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from onward.core.events import Event
from onward.infra.database import open_database
from onward.watch.audit.adapters.sql import SqlLedger

folder, writer, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
ledger = SqlLedger(open_database(folder / "onward.db"))
print("ready", flush=True)
for number in range(count):
    ledger.append(Event(kind="a.b", key=f"{writer}/{number}", subject=writer,
                        at=datetime.now(UTC), outputs=(f"model:{writer}@{number}",)))
    print(number, flush=True)
"""


def start(folder: Path, writer: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", APPEND, str(folder), writer, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.crash
def test_processes_keep_one_chain_though_some_are_killed(tmp_path: Path):
    writers = {name: start(tmp_path, name, 60 if name != "killed" else 10**6)
               for name in ("one", "two", "killed")}  # fmt: skip
    killed = writers["killed"]
    told = -1
    for line in killed.stdout:
        if line.strip() == "30":
            os.kill(killed.pid, signal.SIGKILL)
        if line.endswith("\n") and line.strip().isdigit():
            told = int(line)
    for process in writers.values():
        process.stdout.read()
        process.stdout.close()
        process.wait()
    engine = open_database(tmp_path / "onward.db")
    ledger = SqlLedger(engine)
    assert len(ledger.events(subject="one")) == 60
    assert len(ledger.events(subject="two")) == 60
    kept = [recorded.event.key for recorded in ledger.events(subject="killed")]
    assert kept == [f"killed/{n}" for n in range(len(kept))]
    assert told + 1 <= len(kept) <= told + 2  # nothing that was acknowledged is lost
    count = 120 + len(kept)
    assert ledger.verify() == count
    ledger.append(event(1))
    assert ledger.verify() == count + 1
    assert len((tmp_path / "ledger.heads").read_text().splitlines()) == count + 1
    engine.dispose()
