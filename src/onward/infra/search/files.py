"""Searching files for texts, by what kind of file each is."""

from __future__ import annotations

import gzip
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from onward.infra.search.avro import blocks

_CHUNK: Final = 1 << 20
Chunks = Iterable[bytes]


def files_with(texts: Sequence[str], folder: Path) -> dict[Path, set[str]]:
    """Return the files under `folder` that hold one of the texts, and which of them each holds.

    Texts are looked for in UTF-8 and as JSON escapes them. A file that goes away meanwhile is
    passed over.
    """
    needles = {text: _forms(text) for text in texts}
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            try:
                held = _held(path, needles)
            except FileNotFoundError:
                continue
            if held:
                found[path] = held
    return found


def _forms(text: str) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys((text.encode(), json.dumps(text)[1:-1].encode())))


def _held(path: Path, needles: dict[str, tuple[bytes, ...]]) -> set[str]:
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        held = _among(iter(lambda: file.read(_CHUNK), b""), needles)
        for magic, unpack in _KINDS:
            if head.startswith(magic) and len(held) < len(needles):
                file.seek(0)
                held |= _unpacked(unpack, file, needles)
    return held


def _unpacked(
    unpack: Callable[[IO[bytes]], Chunks], file: IO[bytes], needles: dict[str, tuple[bytes, ...]]
) -> set[str]:
    import pyarrow as pa

    try:
        return _among(unpack(file), needles)
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, pa.ArrowException):
        return set()  # not what it seems, or torn off: its bytes were searched as they are


def _among(chunks: Chunks, needles: dict[str, tuple[bytes, ...]]) -> set[str]:
    """Return the texts that stand in the chunks, also across the border of two."""
    overlap = max(len(form) for forms in needles.values() for form in forms) - 1
    found: set[str] = set()
    tail = b""
    for chunk in chunks:
        data = tail + chunk
        found |= {t for t, forms in needles.items() if any(form in data for form in forms)}
        if len(found) == len(needles):
            break
        tail = data[-overlap:] if overlap else b""
    return found


def _gzip(file: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        yield from iter(lambda: unpacked.read(_CHUNK), b"")


def _zip(file: IO[bytes]) -> Iterator[bytes]:
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                yield from iter(lambda: member.read(_CHUNK), b"")


def _parquet(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the cells as text, column by column, apart from one another."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches():
        for column in batch.columns:
            yield from _cells(column)


def _cells(column: Any) -> Iterator[bytes]:
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
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield "\n".join(t for t in column.unique().to_pylist() if t is not None).encode()
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        yield b"\n".join(b for b in column.unique().to_pylist() if b is not None)
    elif pa.types.is_integer(kind):
        yield "\n".join(map(str, column.unique().to_pylist())).encode()


_KINDS: Final[tuple[tuple[bytes, Callable[[IO[bytes]], Chunks]], ...]] = (
    (b"\x1f\x8b", _gzip),
    (b"PK\x03\x04", _zip),
    (b"PAR1", _parquet),
    (b"Obj\x01", blocks),
)
