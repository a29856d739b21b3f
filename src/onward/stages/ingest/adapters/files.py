"""Files: complete ones that match a pattern, each read once."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Mapping, Sequence
from os import stat_result
from pathlib import Path, PurePosixPath
from typing import Final

from onward.core.errors import DataError
from onward.stages.ingest import cursor
from onward.stages.ingest.config import Files, Source
from onward.stages.ingest.cursor import SeenFile
from onward.stages.ingest.port import Desk, Intake, Surroundings
from onward.stages.ingest.scan import Scan, scan_csv, scan_json, scan_parquet

_UNFINISHED: Final = (".tmp", ".part")


class FileReader:
    """Reads `Files`, each once and whole. The cursor lists them with size and digest."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._folder = surroundings.folder

    def pending(self, source: Source, state: Mapping[str, str]) -> bool:
        """Tell whether there is a file that was not read; looks at names and sizes."""
        return unread(present(_files(source), self._folder), cursor.seen_files(state))

    def open(
        self,
        source: Source,
        state: Mapping[str, str],
        *,
        known: Sequence[str] | None,
        desk: Desk,
    ) -> Intake | None:
        """Return every complete file that no snapshot has taken in, or None.

        Raises
        ------
        DataError
            A file changed after it was read, is empty or damaged, or has other columns.
        """
        origin = _files(source)
        new = take(source, origin, self._folder, cursor.seen_files(state))
        if not new:
            return None
        paths = [self._folder / file.path for file in new]
        for path in paths:
            if path.stat().st_size == 0:
                raise DataError(f"{path} is empty", location=source.location)
        return Intake(
            scan=_scan(origin, paths, known, desk),
            summary=cursor.of_files(new),
            state=cursor.with_files(new, state),
            confirm=lambda: require_unchanged(source, new, self._folder),
        )


def _files(source: Source) -> Files:
    assert isinstance(source.origin, Files)
    return source.origin


def _scan(origin: Files, paths: Sequence[Path], known: Sequence[str] | None, desk: Desk) -> Scan:
    if origin.format == "csv":
        return scan_csv(paths, known)
    if origin.format == "parquet":
        return scan_parquet(desk.connection, paths, known)
    return scan_json(desk.connection, paths, known)


def present(origin: Files, folder: Path) -> dict[str, stat_result]:
    """Return the complete files that match, by path relative to `folder`, in sorted order.

    A name that begins with ``.`` or ``_``, or ends in ``.tmp`` or ``.part``, is still being
    written.
    """
    found = {}
    names = glob.glob(origin.pattern, root_dir=folder, recursive=True)  # noqa: PTH207 (Path.glob refuses an absolute pattern)
    for name in sorted(names):
        path = PurePosixPath(name)
        if path.name.startswith((".", "_")) or path.name.endswith(_UNFINISHED):
            continue
        if (folder / name).is_file():
            found[path.as_posix()] = (folder / name).stat()
    return found


def unread(files: Mapping[str, stat_result], seen: Mapping[str, SeenFile]) -> bool:
    """Tell whether `files` holds one that is new, or of another size than when it was read."""
    return any(p not in seen or seen[p].size != s.st_size for p, s in files.items())


def take(
    source: Source, origin: Files, folder: Path, seen: Mapping[str, SeenFile]
) -> list[SeenFile]:
    """Return the files to read now.

    Raises
    ------
    DataError
        A file's content is no longer what was read.
    """
    new = []
    for path, stat in present(origin, folder).items():
        earlier = seen.get(path)
        tag = str(stat.st_mtime_ns)
        if earlier and (earlier.size, earlier.tag) == (stat.st_size, tag):
            continue
        file = SeenFile(path, stat.st_size, tag, _digest(folder / path))
        if earlier is None:
            new.append(file)
        elif earlier.digest != file.digest:
            raise DataError(
                f"{path} has changed since source {source.name!r} read it",
                expected="files that stay as they are once they are complete",
                next_step=f"restore {path} and put the new rows in a new file beside it",
                location=source.location,
            )
    return new


def require_unchanged(source: Source, files: Sequence[SeenFile], folder: Path) -> None:
    """Refuse files that were written to while they were read.

    Raises
    ------
    DataError
        A file's size or modification time is not what it was.
    """
    for file in files:
        path = folder / file.path
        now = path.stat() if path.exists() else None
        if now is None or (now.st_size, str(now.st_mtime_ns)) != (file.size, file.tag):
            raise DataError(
                f"{file.path} changed while it was read",
                expected="a file that appears under its name when it is complete",
                next_step=f"write to {file.path}.part, then rename it; and run again",
                location=source.location,
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
