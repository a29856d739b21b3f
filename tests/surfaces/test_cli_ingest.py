"""`onward ingest` on the small shop: once, and for as long as it is let."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from onward.app.ingest import Waiting, ingest_on
from onward.app.leases import Lease
from onward.app.project import open_project
from onward.core.errors import BusyError, DeclarationError, NotFoundError
from onward.flow.data import follow
from onward.flow.data.follow import Paused
from onward.flow.data.ingest import Taken
from onward.infra.lake.iceberg import open_lake
from onward.surfaces.cli import show
from onward.surfaces.cli.commands import cli
from onward.surfaces.cli.ingest import Board, line


def invoke(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["ingest", *words, "--project", str(folder)])


def rows(folder: Path, table: str = "raw.orders") -> int:
    return open_lake(folder / ".onward" / "lake").dataset(table).rows


def test_once_takes_in_what_there_is_and_nothing_else(shop: Path) -> None:
    done = invoke(shop)
    assert (done.exit_code, done.exception) == (0, None)
    assert done.output.startswith("orders: 390 published, 10 quarantined")
    assert rows(shop) == 390
    lake = open_lake(shop / ".onward" / "lake")
    assert lake.tables() == ["quarantine.raw_orders", "raw.orders"]
    assert invoke(shop, "orders").output == "nothing new\n"


def test_json_says_the_same(shop: Path) -> None:
    [taken] = json.loads(invoke(shop, "--json").output)
    assert (taken["source"], taken["published"], taken["quarantined"]) == ("orders", 390, 10)
    assert json.loads(invoke(shop, "--json").output) == []


def test_a_batch_that_is_held_ends_with_three(shop: Path, orders: Callable[..., Path]) -> None:
    invoke(shop)
    orders(shop, "few", rows=5)
    done = invoke(shop, "orders")
    assert done.exit_code == 3
    assert "5 rows held: enough rows" in done.output
    assert rows(shop) == 390


def test_a_source_that_is_not_there_is_named(shop: Path) -> None:
    found = invoke(shop, "order").exception
    assert isinstance(found, NotFoundError)
    assert "did you mean 'orders'?" in str(found)


def test_a_source_that_is_followed_is_left_to_that_process(shop: Path) -> None:
    lease = Lease(shop / ".onward" / "leases", "orders")
    with lease.held() as mine:
        assert mine
        lease.begin("run")
        found = invoke(shop).exception
    assert isinstance(found, BusyError)
    assert f"process {os.getpid()} takes in 'orders' already" in str(found)


def test_what_a_killed_process_left_is_dropped(shop: Path) -> None:
    invoke(shop)
    lake = open_lake(shop / ".onward" / "lake")
    left = lake.read("raw.orders").slice(0, 1)
    lake.stage("raw.orders", left, branch="audit-cut", mode="append", summary={"key": "cut"})
    Lease(shop / ".onward" / "leases", "orders").begin("cut")
    assert invoke(shop).output == "nothing new\n"
    assert lake.head("raw.orders", "audit-cut") is None


class Following:
    """`onward ingest --follow --json` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        words = ["ingest", "--follow", "--json", "--project", str(folder)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from onward.surfaces.cli import main; main()", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hears(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def stop(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        self.errors = ""
        _, self.errors = self._process.communicate(timeout=120)
        return self._process.returncode


@pytest.fixture
def following(shop: Path) -> Iterator[Following]:
    found = Following(shop)
    yield found
    if found._process.poll() is None:
        found._process.kill()
        found._process.communicate()


def test_follow_takes_in_files_as_they_appear_and_stops_cleanly(
    shop: Path, following: Following, orders: Callable[..., Path]
) -> None:
    first = following.hears()
    assert (first["event"], first["source"], first["published"]) == ("taken", "orders", 390)
    orders(shop, "second", rows=30)
    assert following.hears()["published"] == 30
    orders(shop, "few", rows=5)
    assert following.hears()["held"] == ["enough rows"]
    paused = following.hears()
    assert (paused["event"], paused["why"]) == ("paused", "held: enough rows")
    orders(shop, "more", rows=30)  # with these it is a batch
    while (said := following.hears())["event"] == "paused" or said["held"]:
        pass
    assert said["published"] == 35
    assert (following.stop(signal.SIGTERM), following.errors) == (0, "")
    assert rows(shop) == 455
    assert not (shop / ".onward" / "leases" / "orders").exists()  # nothing was cut short


def test_a_declaration_that_is_wrong_ends_following(shop: Path) -> None:
    file = shop / "pipeline.py"
    file.write_text(file.read_text().replace('key=["order_id"]', 'key=["orderid"]', 1))
    done = invoke(shop, "--follow")
    assert isinstance(done.exception, DeclarationError)
    assert "did you mean 'order_id'?" in str(done.exception)


def test_what_goes_wrong_outside_is_told_and_tried_again(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "FIRST_PAUSE_S", 0.001)
    heard: list[Any] = []
    stop = Event()
    file = shop / "data" / "orders" / "first.csv"
    whole = file.read_text()
    file.write_text('order_id,"')

    def hear(said: Any) -> None:
        heard.append(said)
        if len(heard) == 3:
            file.write_text(whole)
        if isinstance(said, Taken):
            stop.set()

    with open_project(shop) as project:
        ingest_on(project, [], heard=hear, stop=stop)
    *paused, taken = heard
    assert all(isinstance(said, Paused) for said in paused)
    assert [said.seconds for said in paused[:3]] == [0.001, 0.002, 0.004]
    assert taken.published == 390


def test_what_was_left_behind_is_dropped_when_there_is_room_again(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "FIRST_PAUSE_S", 0.001)
    (shop / ".onward" / "leases").mkdir(parents=True)
    Lease(shop / ".onward" / "leases", "orders").begin("cut")
    tried, stop, heard = [], Event(), []

    def full(*args: Any) -> None:
        tried.append(args)
        if len(tried) < 3:
            raise OSError(28, "No space left on device")

    def hear(said: Any) -> None:
        heard.append(said)
        if isinstance(said, Taken):
            stop.set()

    monkeypatch.setattr("onward.app.ingest.forget", full)
    with open_project(shop) as project:
        ingest_on(project, [], heard=hear, stop=stop)
    assert [getattr(said, "why", "taken") for said in heard] == [
        "[Errno 28] No space left on device", "[Errno 28] No space left on device", "taken"
    ]  # fmt: skip
    assert [run for _, _, run in tried] == ["cut"] * 3


TAKEN = Taken(
    source="s", run="r", rows=7, published=5, quarantined=2, held=(), behind=9, seconds=0.5
)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (TAKEN, "s: 5 published, 2 quarantined, 9 behind (14 rows/s)"),
        (Paused(source="s", why="gone", seconds=4.0), "s: gone; again in 4 s"),
        (Waiting(source="s", holder="12"), "s: process 12 takes it in; standing by"),
    ],
)
def test_a_line_says_what_was_heard(said: Any, text: str) -> None:
    assert line(said) == text


def test_the_board_shows_a_line_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr(show, "console", terminal)
    with Board(as_json=False) as board:
        board.heard(TAKEN)
        board.heard(Paused(source="t", why="gone", seconds=4.0))
    shown = out.getvalue()
    assert board.rows == 5
    assert "rows/s" in shown
    assert "gone; again in 4 s" in shown
