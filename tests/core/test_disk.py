from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from onward.core.disk import full, full_disk_told
from onward.core.errors import DataError, OnwardError


def test_a_real_full_disk_is_told_with_the_folder_and_what_is_free():
    with pytest.raises(OnwardError) as told, full_disk_told(Path("/dev/full")):
        Path("/dev/full").write_text("x")
    said = str(told.value)
    assert "the disk is full: /dev/full could not be written" in said
    assert "room in /dev, where" in said
    assert "are free now" in said
    assert "nothing was half-written" in said
    assert "TMPDIR" not in said


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("failed to offload: set by the 'max_temp_directory_size' setting"),
    ],
)
def test_whichever_library_met_it(error, tmp_path):
    told = full(error, tmp_path / "not" / "there")
    assert told is not None
    assert f"room in {tmp_path}, where" in str(told)
    assert "let TMPDIR name a folder that has it" in str(told), "pytest's folders are temporary"


def test_the_file_that_the_error_names_goes_before(tmp_path):
    at = tmp_path / "a.parquet"
    for error in (
        OSError(errno.ENOSPC, "No space left on device", str(at)),
        RuntimeError(f'IO Error: Could not write file "{at}": No space left on device'),
    ):
        assert f"the disk is full: {at} could" in str(full(error, Path("/other")))
    assert str(full(OSError(errno.ENOSPC, "x"))).startswith("the disk is full\n  next: make room,")


def test_other_errors_are_let_be():
    assert full(OSError(errno.EACCES, "denied")) is None
    for error in (ValueError("no"), DataError("No space left on device")):
        with pytest.raises(type(error)) as same, full_disk_told():
            raise error
        assert same.value is error
