"""The page on benchmarks: its commands are ones, and the peer that it shows takes part."""

import importlib
import inspect
import os
import re
import shlex
from pathlib import Path

import pytest

from marked_pages import page

ROOT = Path(__file__).parents[2]
PAGE = page("docs/benchmarks.md")


@pytest.fixture(autouse=True)
def _bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def test_the_commands_name_benchmarks_and_their_sizes():
    shown = [shlex.split(words) for words in re.findall(r"ARGS='([^']*)'", PAGE)]
    assert len(shown) > 4
    for words in shown:
        sizes = {word.partition("=")[0] for word in words if "=" in word}
        for name in (word for word in words if word.isalpha()):
            module = importlib.import_module(f"bench.{name}")
            assert not sizes or sizes <= set(inspect.signature(module.measure).parameters)


def test_every_contest_is_described():
    modules = {path.stem: path.read_text() for path in (ROOT / "bench").glob("[a-z]*.py")}
    contests = {name for name, code in modules.items() if "import Entrant" in code}
    described = set(re.findall(r"^### .+ \(`(\w+)`\)$", PAGE, re.MULTILINE))
    assert contests | {"serve", "features"} == described <= modules.keys()


def test_the_peer_that_is_shown_takes_part(monkeypatch, tmp_path):
    from bench import ingest
    from bench._contest import Entrant

    (tmp_path / "shown_peer.py").write_text(PAGE.block("peer"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    peer = Entrant("PyArrow", "shown_peer:runs")
    monkeypatch.setattr(ingest, "ENTRANTS", (ingest.ENTRANTS[0], peer))
    [row] = ingest.measure(rows=1_000, rounds=1)
    assert row.against == "PyArrow"
    assert row.note.startswith("same result")
