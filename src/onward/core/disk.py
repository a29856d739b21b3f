"""A disk without room: how it is told, whichever library met it."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from onward.core.errors import OnwardError
from onward.core.wording import size

_CODES: Final = (errno.ENOSPC, errno.EDQUOT)
_SAID: Final = (
    "No space left on device",
    "Disk quota exceeded",
    "database or disk is full",  # SQLite
    "'max_temp_directory_size'",  # DuckDB takes nine tenths of what is free for it
)
_PATH: Final = re.compile(r"""["'](/[^"']+)["']""")


def full(error: BaseException, where: Path | None = None) -> OnwardError | None:
    """Return what to tell of an error that a full disk caused; None for any other.

    `where` was written to, if the error does not say.
    """
    text = str(error)
    code = error.errno if isinstance(error, OSError) else None
    if code not in _CODES and not any(said in text for said in _SAID):
        return None
    named = getattr(error, "filename", None) or next(iter(_PATH.findall(text)), None)
    return no_room(Path(str(named)) if named else where)


def no_room(where: Path | None) -> OnwardError:
    """Return the error that says that a disk is full, and what to do."""
    folder = None if where is None else _there(where)
    scratch = folder is not None and folder.is_relative_to(tempfile.gettempdir())
    return OnwardError(
        "the disk is full" + (f": {where} could not be written" if where else ""),
        expected=f"room in {folder}, where {size(shutil.disk_usage(folder).free)} are free now"
        if folder
        else None,
        next_step="make room"
        + (" there, or let TMPDIR name a folder that has it" if scratch else "")
        + ", then run the same command again; nothing was half-written",
    )


@contextmanager
def full_disk_told(where: Path | None = None) -> Iterator[None]:
    """Turn what a full disk raises, in whichever library, into an error that says so.

    Raises
    ------
    OnwardError
        The disk is full.
    """
    try:
        yield
    except OnwardError:
        raise
    except Exception as error:
        told = full(error, where)
        if told is None:
            raise
        raise told from error


def _there(path: Path) -> Path:
    """Return the folder of a path, or the nearest above it that exists."""
    return next(p for p in (path, *path.parents) if p.is_dir())
