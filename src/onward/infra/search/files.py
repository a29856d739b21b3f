"""Searching files for texts, by what kind of file each is."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from onward.infra.search.avro import blocks

_CHUNK: Final = 1 << 20
Chunks = Iterable[bytes]


class Needles:
    """The texts that are looked for, in UTF-8 and as JSON escapes them.

    Among words a text must stand as a word: ``c-12`` is not in ``c-123``. In binary files any
    byte may come before and after it.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        forms = {text: {text.encode(), json.dumps(text)[1:-1].encode()} for text in texts}
        either = {t: b"|".join(re.escape(f) for f in sorted(own)) for t, own in forms.items()}
        self.count = len(forms)
        self.longest = max((len(form) for own in forms.values() for form in own), default=0)
        self._anywhere = {t: re.compile(pattern) for t, pattern in either.items()}
        self._words = {
            t: re.compile(rb"(?<![A-Za-z0-9])(?:" + pattern + rb")(?![A-Za-z0-9])")
            for t, pattern in either.items()
        }

    def among(self, chunks: Chunks, *, words: bool) -> set[str]:
        """Return the texts that stand in the chunks, also across the border of two."""
        patterns = self._words if words else self._anywhere
        found: set[str] = set()
        tail = b""
        for chunk in chunks:
            data = tail + chunk
            found |= {text for text, pattern in patterns.items() if pattern.search(data)}
            if len(found) == self.count:
                break
            tail = data[-self.longest - 1 :]
        return found


def files_with(texts: Sequence[str], folder: Path) -> dict[Path, set[str]]:
    """Return the files under `folder` that hold one of the texts, and which of them each holds.

    A file that goes away meanwhile is passed over.
    """
    needles = Needles(texts)
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
        try:
            held = _held(path, needles)
        except FileNotFoundError:
            continue
        if held:
            found[path] = held
    return found


def _held(path: Path, needles: Needles) -> set[str]:
    with path.open("rb") as file:
        head = file.read(_CHUNK)
        file.seek(0)
        plain = iter(lambda: file.read(_CHUNK), b"")
        held = needles.among(plain, words=b"\0" not in head)
        for magic, (unpack, words) in _KINDS.items():
            if head.startswith(magic) and len(held) < needles.count:
                file.seek(0)
                held |= _unpacked(unpack, file, needles, words=words)
    return held


def _unpacked(
    unpack: Callable[[IO[bytes]], Chunks], file: IO[bytes], needles: Needles, *, words: bool
) -> set[str]:
    import pyarrow as pa

    try:
        return needles.among(unpack(file), words=words)
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, pa.ArrowException):
        return set()  # not what it seems, or torn off: its bytes were searched as they are


def _gzip(file: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        yield from iter(lambda: unpacked.read(_CHUNK), b"")


def _zip(file: IO[bytes]) -> Iterator[bytes]:
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                while data := member.read(_CHUNK):
                    yield data


def _parquet(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the cells as text, column by column, a line each."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches():
        for column in batch.columns:
            for cells in _cells(column):
                yield b"\n".join(cells) + b"\n"


def _cells(column: Any) -> Iterator[list[bytes]]:
    """Yield the distinct texts, bytes and whole numbers in a column, also in nested ones."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        yield from _cells(column.dictionary)
    elif pa.types.is_struct(kind):
        for child in column.flatten():
            yield from _cells(child)
    elif pa.types.is_map(kind):
        yield from _cells(column.keys)
        yield from _cells(column.items)
    elif pa.types.is_nested(kind):
        yield from _cells(column.flatten())
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        yield [value for value in column.unique().to_pylist() if value is not None]
    elif not (pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        yield [str(value).encode() for value in column.unique().to_pylist() if value is not None]


_KINDS: Final[Mapping[bytes, tuple[Callable[[IO[bytes]], Chunks], bool]]] = {
    b"\x1f\x8b": (_gzip, False),
    b"PK\x03\x04": (_zip, False),
    b"PAR1": (_parquet, True),
    b"Obj\x01": (blocks, False),
}
"""By the bytes with which such a file begins: how to unpack it, and whether it then holds words."""
