"""A project whose state was damaged, and one used from Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import onward as ow
from onward.core.errors import NotFoundError


def onward(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command in the project's folder."""
    command = [sys.executable, "-c", "from onward.surfaces.cli import main; main()", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    """A shop after its first run, which a process of its own did: no file of it is open here."""
    folder = shops(tmp_path_factory.mktemp("damage") / "shop")
    ran = onward(folder, "run")
    assert ran.returncode == 0, ran.stderr
    return folder


@contextmanager
def damaged(file: Path, content: bytes) -> Iterator[None]:
    """Let `file` hold `content` for a while."""
    sound = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(sound)


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("onward.db", "status"),
        ("lake/catalog.db", "run"),
        ("online.db", "features"),
        ("mlflow.db", "run --force"),
    ],
)
def test_a_damaged_database_is_named_without_a_traceback(
    trained: Path, file: str, command: str
) -> None:
    path = trained / ".onward" / file
    with damaged(path, b"no database at all\n" * 400):
        said = onward(trained, *command.split())
    assert said.returncode == 6, said.stderr
    assert "--force" in command or said.stdout == ""  # a run shows how far it came
    assert path.stem in said.stderr
    assert "Traceback" not in said.stderr


def test_a_rewritten_past_is_found_out(trained: Path) -> None:
    assert onward(trained, "audit", "verify").returncode == 0
    ledger = trained / ".onward" / "onward.db"
    told = ledger.read_bytes()
    assert b"nothing was trained yet" in told
    with damaged(ledger, told.replace(b"nothing was trained yet", b"nothing was trained ...")):
        said = onward(trained, "audit", "verify")
    assert said.returncode == 6, said.stderr
    assert "Traceback" not in said.stderr


def test_a_champion_whose_artifacts_were_altered_judges_nobody(trained: Path) -> None:
    [model] = (trained / ".onward" / "trained").glob("*/model.pkl")
    pipeline = trained / "pipeline.py"
    changed = pipeline.read_bytes().replace(b"holdout=0.3,", b"holdout=0.35,")
    with damaged(pipeline, changed):
        with damaged(model, model.read_bytes() + b"one byte more"):
            refused = onward(trained, "run")
        assert refused.returncode == 6, refused.stderr
        assert "order_return@1 in" in refused.stderr
        assert "not those that were recorded" in refused.stderr
        assert "Traceback" not in refused.stderr
        mended = onward(trained, "run")
        assert mended.returncode in (0, 4), mended.stderr


def test_an_altered_image_does_not_serve(trained: Path) -> None:
    blobs = (trained / ".onward" / "images" / "blobs" / "sha256").iterdir()
    layer = max(blobs, key=lambda blob: blob.stat().st_size)
    with damaged(layer, layer.read_bytes() + b"one byte more"):
        refused = onward(trained, "predict", "--sample", "1")
    assert refused.returncode == 6, refused.stdout
    assert refused.stdout == ""
    assert "cannot be used" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is no Onward project"):
        ow.load(tmp_path)


def test_a_fresh_project_has_nothing_to_ask_yet(shop: Path) -> None:
    with ow.load(shop) as project:
        assert not project.runs()
        assert not project.models()
        assert not project.quarantine()
        assert project.status().champion is None
        with pytest.raises(NotFoundError, match="no version of 'order_return' serves yet"):
            project.predict([{}])
