"""Files that are replaced whole: by many at once, by one who is killed, on a disk that is full."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from onward.core import files
from onward.core.files import remove_unfinished, settle, unfinished, write_durably, write_whole

Write = Callable[[Path, bytes], None]
both = pytest.mark.parametrize("write", [write_whole, write_durably])


@both
def test_a_reader_sees_the_one_or_the_other_while_many_write(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "told.json"
    write(file, b"0" * 70_000)
    threads = [
        threading.Thread(target=lambda n=n: [write(file, n * 70_000) for _ in range(20)])
        for n in (b"1", b"2", b"3")
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found = file.read_bytes()
        assert len(found) == 70_000
        assert len(set(found)) == 1
    assert list(tmp_path.iterdir()) == [file]


DIES = """
import os, signal, sys
from pathlib import Path
from onward.core import files
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
getattr(files, sys.argv[1])(Path(sys.argv[2]), b"new")
"""


@both
def test_who_is_killed_leaves_what_was_there(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "told.json"
    write(file, b"old")
    killed = subprocess.run([sys.executable, "-c", DIES, write.__name__, str(file)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert file.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [file]


@both
def test_what_cannot_be_written_leaves_nothing(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "told.json"
    write(file, b"old")
    monkeypatch.setattr(files, "unfinished", lambda _: tmp_path / "no folder" / "x")
    with pytest.raises(FileNotFoundError):
        write(file, b"new")
    monkeypatch.undo()
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "taken", b"new")
    assert file.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken", "told.json"]


def test_a_secret_is_never_for_others_to_read_whatever_a_crash_left(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    unfinished(file).write_text("left by a crash")
    write_durably(file, b"key", mode=0o600)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes() == b"key"


def test_a_file_and_its_name_are_on_the_disk_before_anyone_relies_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, synced = os.fsync, []

    def fsync(handle: int) -> None:
        synced.append((Path(f"/proc/self/fd/{handle}").readlink(), file.exists()))
        real(handle)

    file = tmp_path / "rows.parquet"
    scratch = unfinished(file)
    scratch.write_bytes(b"rows")
    monkeypatch.setattr(os, "fsync", fsync)
    settle(scratch, file)
    assert synced == [(scratch, False), (tmp_path, True)]
    assert file.read_bytes() == b"rows"
