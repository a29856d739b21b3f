"""The files of a table: which a snapshot needs, which lie in its folder, and their removal."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final, cast

from pyarrow.fs import FileSelector
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from onward.infra.lake.snapshots import spilled

_DOOMED: Final = "doomed-"


@dataclass(frozen=True, slots=True)
class Lying:
    """A file in a table's folder. `at` is when it was last written to, `size` is in bytes."""

    path: str
    size: int
    at: datetime


@dataclass(slots=True)
class Inventory:
    """What a table's snapshots need, with every manifest read once."""

    table: Table
    _live: dict[str, tuple[DataFile, ...]] = field(default_factory=dict)

    def data(self, snapshot: Snapshot) -> dict[str, DataFile]:
        """Return the files with a snapshot's rows, and with its deletes, by path."""
        return {
            file.file_path: file
            for manifest in snapshot.manifests(self.table.io)
            for file in self._files(manifest)
        }

    def needed(self, snapshots: Iterable[Snapshot]) -> set[str]:
        """Return every file that one of `snapshots` needs: lists, manifests, and what they name."""
        found: set[str] = set()
        for snapshot in snapshots:
            found.add(snapshot.manifest_list)
            found.update(spilled(self.table, snapshot))
            for manifest in snapshot.manifests(self.table.io):
                if manifest.manifest_path not in found:
                    found.add(manifest.manifest_path)
                    found.update(file.file_path for file in self._files(manifest))
        return found

    def referenced(self) -> set[str]:
        """Return every file that the table needs as it stands."""
        metadata = self.table.metadata
        logged = {entry.metadata_file for entry in metadata.metadata_log}
        statistics = {entry.statistics_path for entry in metadata.statistics}
        return (
            self.needed(metadata.snapshots) | logged | statistics | {self.table.metadata_location}
        )

    def _files(self, manifest: ManifestFile) -> tuple[DataFile, ...]:
        path = manifest.manifest_path
        if path not in self._live:
            entries = manifest.fetch_manifest_entry(self.table.io, discard_deleted=True)
            self._live[path] = tuple(entry.data_file for entry in entries)
        return self._live[path]


def lying(table: Table) -> list[Lying]:
    """Return every file in the table's folder, except the notes of `doom`."""
    return [file for file in _listed(table) if not _is_note(file)]


def doom(table: Table, paths: Collection[str]) -> str:
    """Write down that `paths` go, before the commit that makes them unneeded; return the note.

    A process that is killed between the commit and the removal leaves the note, and the next
    `reap` finishes the work: nothing waits for the grace period of what nobody knows.
    """
    note = f"{_root(table)}/metadata/{_DOOMED}{uuid.uuid4()}.json"
    with table.io.new_output(note).create() as file:
        file.write(json.dumps(sorted(paths)).encode())
    return note


def reap(table: Table) -> None:
    """Remove what earlier commits doomed, where the table does not need it."""
    notes = [file.path for file in _listed(table) if _is_note(file)]
    if not notes:
        return
    needed = Inventory(table).referenced()
    for note in notes:
        try:
            with table.io.new_input(note).open() as file:
                doomed = set(json.loads(file.read()))
        except (FileNotFoundError, json.JSONDecodeError):  # just finished, or just being written
            continue
        remove(table, doomed - needed)
        remove(table, [note])


def remove(table: Table, paths: Iterable[str]) -> int:
    """Delete files, and return how many there were; a file that is gone already is none."""
    removed = 0
    for path in paths:
        try:
            table.io.delete(path)
        except FileNotFoundError:
            continue
        removed += 1
    return removed


def _listed(table: Table) -> list[Lying]:
    io = cast("PyArrowFileIO", table.io)
    root = _root(table)
    scheme, netloc, path = io.parse_location(root, io.properties)
    found = io.fs_by_scheme(scheme, netloc).get_file_info(
        FileSelector(path, recursive=True, allow_not_found=True)
    )
    before = root.removesuffix(path)  # the file system's paths lack the scheme
    return [Lying(before + info.path, info.size, info.mtime) for info in found if info.is_file]


def _is_note(file: Lying) -> bool:
    return PurePosixPath(file.path).name.startswith(_DOOMED)


def _root(table: Table) -> str:
    return table.location().rstrip("/")
