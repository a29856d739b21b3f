from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import event

from onward.core.errors import BusyError, OnwardError
from onward.infra import workflows as room
from onward.infra.workflows import dbos
from onward.infra.workflows.dbos import DbosWorkflows

RUN = """
import os, signal, sys
from pathlib import Path
from onward.infra.workflows.dbos import DbosWorkflows

folder, kill_at = Path(sys.argv[1]), sys.argv[2]

def die(where):
    if where == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

def note(file, line):
    with open(folder / file, "a") as journal:
        journal.write(line + "\\n")

def step(name):
    note("began", name)
    die(f"inside {name} before its effect")
    effect = folder / "effects" / name
    if not effect.exists():  # keyed: once, however often the step is begun
        effect.write_text("")
        note("effects.log", name)
    die(f"inside {name} after its effect")
    return name.upper()

def body(steps, greeting):
    values = []
    for name in "abcde":
        die(f"before {name}")
        values.append(steps(name, step, name))
        die(f"after {name}")
    return greeting, values

(folder / "effects").mkdir(exist_ok=True)
workflows = DbosWorkflows(folder / "workflows.db", name="deliver", body=body)
print(list(workflows.pending()), workflows.run("run-1", "hello"), flush=True)
workflows.close()
"""

PLACES = [
    *(f"before {name}" for name in "abcde"),
    "after e",
    *(f"inside {name} {side} its effect" for name in "ad" for side in ("before", "after")),
]


def run(folder: Path, kill_at: str = "never") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, str(folder), kill_at],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.crash
@pytest.mark.parametrize("place", PLACES)
def test_a_run_killed_anywhere_goes_on_and_every_effect_is_there_once(tmp_path: Path, place: str):
    killed = run(tmp_path, place)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    finished = run(tmp_path)
    assert finished.stderr == ""
    assert finished.stdout == "['run-1'] ('hello', ['A', 'B', 'C', 'D', 'E'])\n"
    assert (tmp_path / "effects.log").read_text().split() == list("abcde")
    began = (tmp_path / "began").read_text().split()
    cut_short = {place.split()[1]} if place.startswith("inside") else set()
    assert {name for name in began if began.count(name) > 1} == cut_short
    assert set(began) == set("abcde")


@pytest.mark.crash
def test_a_run_may_be_killed_again_and_again(tmp_path: Path):
    for place in ("inside a after its effect", "before c", "after c", "inside e before its effect"):
        assert run(tmp_path, place).returncode == -signal.SIGKILL
    assert run(tmp_path).stdout == "['run-1'] ('hello', ['A', 'B', 'C', 'D', 'E'])\n"
    assert (tmp_path / "began").read_text().split() == list("aabcdee")
    assert run(tmp_path).stdout == "[] ('hello', ['A', 'B', 'C', 'D', 'E'])\n"
    assert (tmp_path / "began").read_text().split() == list("aabcdee")


@pytest.mark.crash
def test_a_run_of_another_process_is_left_alone(tmp_path: Path):
    head = "def body(steps, greeting):\n"
    hold = RUN.replace(head, f"{head}    print('began', flush=True); input()\n")
    process = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path), "never"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "began\n"
    mine = DbosWorkflows(tmp_path / "workflows.db", name="deliver", body=lambda _steps: None)
    assert mine.pending() == ("run-1",)
    with pytest.raises(BusyError, match="another process is running"):
        mine.run("run-1")
    out, _ = process.communicate("\n")
    assert out == "[] ('hello', ['A', 'B', 'C', 'D', 'E'])\n"
    assert mine.run("run-1") == ("hello", list("ABCDE"))
    mine.close()


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(tmp_path: Path, monkeypatch):
    full = []
    done = []

    def opened(path: Path):
        engine = room_open(path)

        @event.listens_for(engine, "begin")
        def _limit(connection) -> None:
            pages = 1 if full else 2**30  # never fewer than there are
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        return engine

    room_open = dbos.open_database
    monkeypatch.setattr(dbos, "open_database", opened)
    monkeypatch.setattr(dbos, "_RECORD_S", 0.1)

    def fill() -> str:
        done.append("fill")
        full[:] = [True] if len(done) < 3 else []
        return "x" * 1_000_000

    def body(steps):
        return len(steps("fill", fill)), steps("last", done.append, "last")

    workflows = DbosWorkflows(tmp_path / "workflows.db", name="deliver", body=body)
    for _attempt in ("fresh", "resumed"):
        with pytest.raises(OnwardError, match="the disk is full"):
            workflows.run("r1")
        full.clear()
    assert workflows.run("r1") == (1_000_000, None)
    assert done == ["fill", "fill", "fill", "last"]
    workflows.close()


@pytest.fixture
def interrupts():
    """Ctrl-C raises, whatever another test left in its place."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_ends_a_resumed_run_after_the_step_under_way(tmp_path: Path, interrupts: None):
    began, go_on, heard, done = threading.Event(), threading.Event(), threading.Event(), []

    def first() -> None:
        done.append("first")
        if len(done) == 1:
            raise KeyboardInterrupt
        if len(done) == 2:
            began.set()
            go_on.wait(30)

    def body(steps):
        steps("first", first)
        steps("second", done.append, "second")

    def interrupt() -> None:
        began.wait(30)
        while not heard.is_set():  # as a person would: a finalizer may have swallowed the first
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            heard.wait(5)

    workflows = DbosWorkflows(tmp_path / "workflows.db", name="deliver", body=body)
    with pytest.raises(KeyboardInterrupt):
        workflows.run("r1")
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        workflows.run("r1")
    heard.set()
    with pytest.raises(BusyError, match="this process"):
        workflows.run("r1")
    resumed = workflows._resumed
    go_on.set()
    assert isinstance(resumed.outcome.exception(30), dbos._InterruptedError)
    assert done == ["first", "first"]
    assert workflows.pending() == ("r1",)
    workflows.run("r1")
    assert done == ["first", "first", "second"]
    workflows.close()


def test_a_resume_that_is_not_taken_up_says_so(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(dbos, "_PATIENCE_S", 0.0)
    failing = [True]

    def body(steps):
        if failing:
            raise OnwardError("no")
        return "done"

    workflows = DbosWorkflows(tmp_path / "workflows.db", name="deliver", body=body)
    with pytest.raises(OnwardError, match="no"):
        workflows.run("r1")
    with pytest.raises(BusyError, match="r1 was not taken up"):
        workflows.run("r1")
    monkeypatch.setattr(dbos, "_PATIENCE_S", 30.0)
    waited = workflows._resumed
    failing.clear()
    assert waited.outcome.result(30) == "done"
    assert workflows.run("r1") == "done"
    workflows.close()


def test_the_room_is_cheap_to_import():
    code = f"import sys, {room.__name__}.dbos; print({{'dbos', 'sqlalchemy'}} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "set()\n"
