"""The guide to looking after data, typed as it stands there; what it shows is what is printed."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from marked_pages import guide
from onward.app.project import open_project
from onward.flow.run.runs import request
from onward.surfaces.cli.commands import cli

GUIDE = guide("data")
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)

# What differs from one time to the next: ids, times, ages, seconds.
VARIES = (
    (re.compile(r"@\d{10,}"), "@SNAPSHOT"),
    (re.compile(r"\b[0-9a-f]{8}-(\d+) "), r"ROW-\1 "),
    (re.compile(r"replay-\d{8}-\d{6}-[0-9a-f]{4}"), "REPLAY"),
    (re.compile(r"of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d:"), "of TIME:"),
    (re.compile(r"~?\d+\.\d s\b"), "TIME"),
    (re.compile(r"\b\d+ (d|h|min|s)\b"), "AGE"),
    (re.compile(r"[▁▂▃▄▅▆▇█]+$", re.MULTILINE), "LINE"),
    (re.compile(r" +"), " "),
)


@pytest.fixture
def shop_with_data(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with open_project(shop) as project, project.alone():
        project.deliver(request(project.site, "new data", train=False))
    monkeypatch.chdir(shop)
    return shop


def typed() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the guide with the lines that it shows."""
    for block in CONSOLE.findall(GUIDE):
        for part in block.split("$ ")[1:]:
            command, *shown = part.rstrip().split("\n")
            yield command, shown


def plain(text: str) -> str:
    for pattern, word in VARIES:
        text = pattern.sub(word, text)
    return text.strip()


def assert_shown(command: str, printed: str, shown: list[str]) -> None:
    """Hold what is printed against the guide's lines, where ``…`` stands for anything."""
    lines = [plain(line) for line in printed.splitlines()]
    assert len(lines) == len(shown), f"{command}\n{printed}"
    for line, wanted in zip(lines, shown, strict=True):
        pattern = re.escape(plain(wanted)).replace("…", ".*")
        assert re.fullmatch(pattern, line), f"{command}\n{line}\n{plain(wanted)}"


def test_the_guide_shows_what_is_printed(shop_with_data: Path) -> None:
    seen = []
    for command, shown in typed():
        if command.startswith("onward "):
            done = CliRunner().invoke(cli, shlex.split(command)[1:])
            assert done.exit_code == 0, done.output
            assert_shown(command, done.output, shown)
            seen.append(command.split()[1])
        else:
            subprocess.run(command, shell=True, check=True)
    assert set(seen) == {"quarantine", "profile", "diff", "check", "data"}
    assert (shop_with_data / "orders.html").stat().st_size > 10_000
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(GUIDE.block("data"), "data.md", "exec"), {})
    assert said.getvalue() == "7 wait, 3 were released: {'amount is positive': 7}\n"


@pytest.mark.parametrize(
    ("line", "wanted", "same"),
    [
        ("raw.orders@4824609041188985820", "raw.orders@7923655441119943751", True),
        ("orders 393 288 d", "orders 393 301 d", True),
        ("orders 394 288 d", "orders 393 288 d", False),
        ("a b c", "a … c", True),
    ],
)
def test_only_what_varies_may_differ(line: str, wanted: str, same: bool) -> None:
    held: Callable[[], None] = lambda: assert_shown("", line, [wanted])  # noqa: E731
    if same:
        held()
        return
    with pytest.raises(AssertionError):
        held()
