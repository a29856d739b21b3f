"""`onward up`: one process tree that serves, takes in data, and stops cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from onward.app.gateway.calling import calling
from onward.app.project import Project, open_project
from onward.flow.release.releases import current
from onward.flow.run.requests import waiting
from onward.stages.serve.gateway.process.local import read_address

PATIENCE_S = 120.0
ONWARD = (sys.executable, "-c", "from onward.surfaces.cli import main; main()")


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return started(folder, "up", *words)


def started(folder: Path, command: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*ONWARD, command, "--project", str(folder), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a child that outlives it can be found, and ended
    )


def typed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ONWARD, *words, "--project", str(folder)], capture_output=True, text=True, check=False
    )


def serves_again(folder: Path, before: int) -> bool:
    address = read_address(folder / ".onward" / "gateway")
    return address is not None and address.pid != before


@pytest.fixture
def up(shop: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A shop that is up, from nothing; it is ended afterwards whatever happens."""
    with (shop / "onward.toml").open("a") as settings:
        settings.write('[triggers]\npoll = "200ms"\n')
    process = start(shop)
    try:
        wait_for(lambda: read_address(shop / ".onward" / "gateway"), process)
        yield shop, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_it_trains_serves_takes_in_data_runs_what_another_asks_for_and_stops(
    up: tuple[Path, subprocess.Popen[str]], orders: Callable[..., Path]
) -> None:
    folder, process = up
    address = read_address(folder / ".onward" / "gateway")
    assert address is not None
    with open_project(folder) as project:
        answer = project.predict(project.sample(1))
        assert answer["predictions"][0]["version"] == 1
        assert "onward" in httpx.get(f"{address.url}/metrics").text

        os.kill(address.pid, signal.SIGKILL)
        wait_for(lambda: serves_again(folder, address.pid), process)
        address = read_address(folder / ".onward" / "gateway")
        assert address is not None
        assert project.predict(project.sample(1))["predictions"][0]["version"] == 1

        begin = datetime(2026, 2, 12, tzinfo=UTC)
        orders(folder, "second", start=begin, days=5, seed=4)
        wait_for(lambda: any(r.state == "refreshed" for r in project.runs()) or None, process)
        assert sum(r.request.trigger == "data" for r in project.runs()) == 1

        handed = typed(folder, "run", "--json")
        entry = json.loads(handed.stdout)
        assert entry["state"] in ("released", "rejected")
        assert handed.returncode == {"released": 0, "rejected": 4}[entry["state"]]
        assert project.runs()[0].id == entry["id"]

        built = typed(folder, "transform", "--full-refresh", "--json")
        entry = json.loads(built.stdout)
        assert (built.returncode, entry["state"]) == (0, "refreshed")
        assert "derived.sold" in entry["reason"] or "sold" in entry["reason"]
        searched = typed(folder, "experiment", "--trials", "2", "--json")
        candidate = json.loads(searched.stdout)
        assert candidate["trials"] == 2
        assert project.runs()[0].state == "searched"
        assert candidate["origin"].startswith("search-")

        counted = typed(folder, "erase", "--subject", "c1", "--column", "customer", "--dry-run")
        assert counted.returncode == 0
        assert "nothing was changed" in counted.stdout
        erased = typed(folder, "erase", "--subject", "c1", "--column", "customer")
        assert erased.returncode == 5
        assert "stop `onward up` with Ctrl-C, erase, and start it again" in erased.stderr

    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped" in said
    for gone in (lambda: os.kill(address.pid, 0), lambda: os.killpg(process.pid, 0)):
        with pytest.raises(ProcessLookupError):
            gone()
    assert read_address(folder / ".onward" / "gateway") is None


def test_a_busy_port_is_named(shop: Path) -> None:
    with open_project(shop) as project:
        project.run()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(shop, "--port", str(port))
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 5
    assert str(port) in said
    assert "Traceback" not in said


PAUSING = """\
    import time
    from pathlib import Path

    Path({began!r}).touch()
    while Path({pause!r}).exists():
        time.sleep(0.05)
    from sklearn.linear_model import LogisticRegression
"""


def paused(shop: Path, pause: Path, began: Path) -> None:
    """Let the model's function wait as long as there is a file `pause`."""
    pipeline = shop / "pipeline.py"
    first = "    from sklearn.linear_model import LogisticRegression\n"
    assert first in pipeline.read_text()
    pausing = PAUSING.format(began=str(began), pause=str(pause))
    pipeline.write_text(pipeline.read_text().replace(first, pausing))


def test_what_changed_while_it_was_down_is_trained_once_for_all_who_ask(shop: Path) -> None:
    with open_project(shop) as project:
        project.run()
    pause = shop / "pause"
    pause.touch()
    paused(shop, pause, shop / "began")
    process = start(shop, "--port", "0")
    others = []
    try:
        wait_for((shop / "began").exists, process)  # training with what changed
        with open_project(shop) as project:
            for n in range(2):
                others.append(started(shop, "run", "--json"))
                wait_for(lambda n=n: len(waiting(project.ledger)) > n, others[-1])
            others[0].send_signal(signal.SIGINT)
            said, _ = others[0].communicate(timeout=PATIENCE_S)
            assert others[0].returncode == 128 + signal.SIGINT
            left = json.loads(said)
            assert left["state"] == "left to `onward up`"
            assert left["run"] == waiting(project.ledger)[0].id

            pause.unlink()
            said, erred = others[1].communicate(timeout=PATIENCE_S)
            entry = json.loads(said)
            assert others[1].returncode == (0 if entry["state"] != "rejected" else 4), erred
            assert entry["request"]["trigger"] == "commit"
            assert project.runs()[0].id == entry["id"]
            assert len(project.runs()) == 2

            nothing = typed(shop, "run", "--json")
            assert json.loads(nothing.stdout)["state"] == "nothing new"
            assert len(project.runs()) == 2

            pause.touch()  # the next training does not end by itself
            (shop / "began").unlink()
            pipeline = shop / "pipeline.py"
            pipeline.write_text(pipeline.read_text().replace("(C=c)", "(C=c / 2)"))
            wait_for((shop / "began").exists, process)
            assert "ends before its next step" in typed(shop, "cancel").stdout
            wait_for(lambda: project.runs()[0].state, process)
            assert project.runs()[0].state == "cancelled"
        assert process.poll() is None
    finally:
        for one in (process, *others):
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
                one.communicate()


def test_an_interrupt_during_training_stops_it_cleanly_and_the_next_goes_on(shop: Path) -> None:
    pause, began = shop / "pause", shop / "began"
    pause.touch()
    paused(shop, pause, began)
    for number in (signal.SIGINT, signal.SIGTERM):  # the second cuts a resumed run short
        process = start(shop)
        wait_for(began.exists, process)
        began.unlink()
        os.killpg(process.pid, number)
        said, erred = process.communicate(timeout=30)
        assert process.returncode == 0, erred
        assert "goes on with the next" in said
        assert "Traceback" not in said + erred
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
        with open_project(shop) as project:
            assert [run.state for run in project.runs()] == [None]

    pause.unlink()
    with open_project(shop) as project:
        assert project.resume().state == "promoted"
        assert [run.state for run in project.runs()] == ["promoted"]


HARMED = """\
    release=ow.Canary(
        steps=[50], bake="1h", minimum=50, deadline="30d",
        guardrails=ow.Guardrails(max_error_increase=None, max_latency_increase=None),
    ),
"""


def change(pipeline: Path, old: str, new: str) -> None:
    assert old in pipeline.read_text()
    pipeline.write_text(pipeline.read_text().replace(old, new))


def ask_and_tell(project: Project, units: int) -> None:
    """Ask for so many new orders; then say that the champion was right, and another never."""
    model = project.definition.model
    rows = [
        {"order_id": f"new-{n}", "customer": f"c{n % 40}", "amount": 5.0 + n % 60, "items": 2}
        for n in range(units)
    ]
    with calling(project.settings, model) as client:
        answers = client.predict(rows)["predictions"]
        told = [
            {
                "prediction": answer["id"],
                "value": float((answer["output"] > 0.5) is (answer["arm"] == "champion")),
                "name": "label",
            }
            for answer in answers
        ]
        client.tell(told)
    assert {answer["arm"] for answer in answers} == {"champion", "candidate"}


def shares(folder: Path) -> list[tuple[int, float]]:
    """Return what the gateway serves now."""
    routes = httpx.get(f"{gateway_of(folder)}/routes").json()["order_return"]["routes"]
    return [(route["version"], route["percent"]) for route in routes]


def test_a_release_that_does_harm_is_rolled_back_while_a_model_trains(shop: Path) -> None:
    pipeline, pause, began = shop / "pipeline.py", shop / "pause", shop / "began"
    with (shop / "onward.toml").open("a") as settings:
        settings.write('[triggers]\npoll = "200ms"\n')
    change(pipeline, '"roc_auc", 0.6', '"roc_auc", 0.5')
    change(
        pipeline,
        '    release=ow.Canary(steps=[10, 50], bake="1s", minimum=50, deadline="30d"),\n',
        HARMED,
    )
    with open_project(shop) as project:
        project.run()
        change(pipeline, "(C=c)", "(C=c / 2)")
        project.reload()
        assert project.run().state == "released"  # type: ignore[union-attr]
    pause.touch()
    paused(shop, pause, began)
    process = start(shop)
    try:
        wait_for(began.exists, process)
        with open_project(shop) as project:
            ask_and_tell(project, 400)
            wait_for(lambda: current(project.ledger, "order_return").ended, process)  # type: ignore[union-attr]
            release = current(project.ledger, "order_return")
            assert release is not None
            assert (release.ended, release.version) == ("rolledback", 2)
            assert release.reason.startswith("harm"), release.reason
            wait_for(lambda: shares(shop) == [(1, 100.0)], process)
            assert project.runs()[0].state is None, "it trains all the while"

            pause.unlink()
            wait_for(lambda: project.runs()[0].state, process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert said.count("release: rollback") == 1
        assert "error" not in said
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def gateway_of(folder: Path) -> str:
    address = read_address(folder / ".onward" / "gateway")
    assert address is not None
    return address.url
