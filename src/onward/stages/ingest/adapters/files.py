"""Files: complete ones that match a pattern, each read once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from onward.core.errors import DataError
from onward.stages.ingest import cursor
from onward.stages.ingest.adapters.folders import Folder, Stamp, open_folder
from onward.stages.ingest.config import Source
from onward.stages.ingest.cursor import SeenFile
from onward.stages.ingest.origins import Files
from onward.stages.ingest.port import Desk, Intake, Surroundings
from onward.stages.ingest.scan import Scan, scan_csv, scan_json, scan_parquet


class FileReader:
    """Reads `Files`, each once and whole. The cursor lists them with stamp and digest."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    def pending(self, source: Source, state: Mapping[str, str]) -> bool:
        """Tell whether there is a file that was not read; looks at names and sizes."""
        seen = cursor.seen_files(state)
        present = open_folder(source, self._surroundings).present()
        return any(name not in seen or seen[name].size != s.size for name, s in present.items())

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
        folder = open_folder(source, self._surroundings)
        new = _take(source, folder, cursor.seen_files(state), desk)
        if not new:
            return None
        files = list(new.values())
        return Intake(
            scan=_scan(source, list(new), known, desk),
            summary=cursor.of_files(files),
            state=cursor.with_files(files, state),
            confirm=lambda: _require_unchanged(source, folder, files),
            names={str(path): file.path for path, file in new.items()},
        )


def _scan(source: Source, paths: Sequence[Path], known: Sequence[str] | None, desk: Desk) -> Scan:
    assert isinstance(source.origin, Files)
    if source.origin.format == "csv":
        return scan_csv(paths, known)
    if source.origin.format == "parquet":
        return scan_parquet(desk.connection, paths, known)
    return scan_json(desk.connection, paths, known)


def _take(
    source: Source, folder: Folder, seen: Mapping[str, SeenFile], desk: Desk
) -> dict[Path, SeenFile]:
    """Return the files to read now, by where their content is on this machine.

    With the desk's limits they are as many as reach the bytes wanted: a file is taken whole.

    Raises
    ------
    DataError
        A file's content is no longer what was read, or there is none.
    """
    new: dict[Path, SeenFile] = {}
    for number, (name, stamp) in enumerate(folder.present().items()):
        earlier = seen.get(name)
        if earlier and _stamp(earlier) == stamp:
            continue
        path = folder.fetch(name, desk.folder / f"{number:06}")
        file = SeenFile(name, stamp.size, stamp.tag, _digest(path))
        if earlier and earlier.digest != file.digest:
            raise DataError(
                f"{name} has changed since source {source.name!r} read it",
                expected="files that stay as they are once they are complete",
                next_step=f"restore {name} and put the new rows in a new file beside it",
                location=source.location,
            )
        if not earlier:
            if path.stat().st_size == 0:
                raise DataError(f"{name} is empty", location=source.location)
            new[path] = file
            if desk.limits and desk.limits.full(0, sum(p.stat().st_size for p in new)):
                break
    return new


def _require_unchanged(source: Source, folder: Folder, files: Sequence[SeenFile]) -> None:
    """Refuse files that were written to while they were read.

    Raises
    ------
    DataError
        A file's stamp is not what it was.
    """
    present = folder.present()
    for file in files:
        if present.get(file.path) != _stamp(file):
            raise DataError(
                f"{file.path} changed while it was read",
                expected="a file that appears under its name when it is complete",
                next_step=f"write to {file.path}.part, then rename it; and run again",
                location=source.location,
            )


def _stamp(file: SeenFile) -> Stamp:
    return Stamp(file.size, file.tag)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
