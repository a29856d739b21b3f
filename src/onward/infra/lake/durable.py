"""File I/O that reaches the disk before the catalog names it."""

from __future__ import annotations

import io
import os
from pathlib import Path

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from onward.core.files import sync


class _SyncedFile(io.FileIO):
    """A file whose content and name are on disk when it has been closed."""

    def close(self) -> None:
        if not self.closed:
            os.fsync(self.fileno())
            super().close()
            sync(Path(os.fsdecode(self.name)).parent)


class _DurableFile(PyArrowFile):
    def create(self, overwrite: bool = False) -> io.BufferedWriter:
        path = Path(self.location)
        make_folder(path.parent)
        return io.BufferedWriter(_SyncedFile(path, "wb" if overwrite else "xb"), 1 << 20)


class DurableFileIO(PyArrowFileIO):
    """PyIceberg's file I/O for plain local paths, with an fsync before each file is closed.

    PyIceberg itself leaves data, manifests and metadata in the page cache while the catalog
    commits, so that a power cut can leave a committed snapshot without its files.
    """

    def new_output(self, location: str) -> PyArrowFile:
        file = super().new_output(location)
        return _DurableFile(location=location, path=location, fs=file._filesystem)  # noqa: SLF001 (the resolved file system has no public name)


def make_folder(folder: Path) -> None:
    """Create a folder, and what it lies in, on the disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)
