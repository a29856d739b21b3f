"""Digests of stored artifacts: what is loaded must be what was recorded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from onward.core.errors import CorruptError


def of_folder(folder: Path) -> str:
    """Return the SHA-256 (hex) over every file's relative path and content, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def require(folder: Path, digest: str, subject: str) -> None:
    """Refuse a folder whose content is not what `digest` recorded.

    Raises
    ------
    CorruptError
        A file was altered, added or removed.
    """
    found = of_folder(folder)
    if found != digest:
        raise CorruptError(
            f"the artifacts of {subject} in {folder} are not those that were recorded",
            expected=f"sha256 {digest[:16]}…, found {found[:16]}…",
            next_step="restore the folder from a backup, or train again with `onward run`",
        )
