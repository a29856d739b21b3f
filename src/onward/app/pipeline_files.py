"""The files that a pipeline is made of: whether one of them, or the commit, changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from onward.app.load import commit_of, own_files
from onward.app.project import Project
from onward.core.errors import OnwardError

Stamps: TypeAlias = Mapping[Path, object]
"""What of each file changes when it does, and, by the project's folder, the commit."""


class PipelineFiles:
    """Loads a project's pipeline again when its files changed.

    They are the Python files and queries beside the pipeline file, those that it imported from
    the project's folder, however deep, and the queries that its transforms are made of.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._now: Stamps = {}
        self._tried: Stamps = {}
        self._loaded: Stamps = {}

    def changed(self) -> bool:
        """Look at the files; return whether they changed since they were last (tried to be) loaded.

        At the first look they have.
        """
        self._now = self._stamps(self._tried)
        return self._now != self._tried

    @property
    def loaded(self) -> bool:
        """Whether the project's definition is what the files said when they were looked at."""
        return self._now == self._loaded

    def load(self) -> None:
        """Load the pipeline again; if it is at fault, the definition stays as it was.

        Raises
        ------
        OnwardError
            It is at fault.
        """
        before = self._now
        try:
            self._project.reload()
        except OnwardError as error:
            named = [Path(error.location.file)] if error.location else []
            self._tried = self._as_read(before, [*before, *named])
            raise
        self._now = self._tried = self._loaded = self._as_read(before, [])

    def _as_read(self, before: Stamps, known: Iterable[Path]) -> Stamps:
        """Return the files as they were when they were read: some may have changed meanwhile."""
        return {path: before.get(path, now) for path, now in self._stamps(known).items()}

    def _stamps(self, known: Iterable[Path]) -> Stamps:
        folder = self._project.settings.folder
        stamps: dict[Path, object] = {path: _stamp(path) for path in (*known, *self._files())}
        return stamps | {folder: commit_of(folder)}

    def _files(self) -> Iterator[Path]:
        beside = self._project.settings.pipeline.parent
        for kind in ("*.py", "*.sql"):
            yield from beside.glob(kind)
        yield from own_files(self._project.settings.folder)
        for transform in self._project.definition.transforms:
            if transform.sql_file is not None:
                yield beside / transform.sql_file
            elif transform.dbt is not None and transform.location is not None:
                yield Path(transform.location.file)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file does; None where it is no more."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
