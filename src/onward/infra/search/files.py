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
        self.forms = {
            text: tuple(dict.fromkeys((text.encode(), json.dumps(text)[1:-1].encode())))
            for text in texts
        }
        self.count = len(self.forms)
        self.longest = max((len(form) for own in self.forms.values() for form in own), default=0)
        self._words = {
            text: re.compile(
                rb"(?<![A-Za-z0-9])(?:" + b"|".join(map(re.escape, own)) + rb")(?![A-Za-z0-9])"
            )
            for text, own in self.forms.items()
        }

    def among(self, chunks: Chunks, *, words: bool) -> set[str]:
        """Return the texts that stand in the chunks, also across the border of two."""
        found: set[str] = set()
        tail = b""
        for chunk in chunks:
            data = tail + chunk
            for text, own in self.forms.items():
                if any(form in data for form in own) and not (
                    words and self._words[text].search(data) is None
                ):
                    found.add(text)
            if len(found) == self.count:
                break
            tail = data[-self.longest - 1 :]
        return found


Unpack = Callable[[IO[bytes], Needles], Chunks]


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


def _unpacked(unpack: Unpack, file: IO[bytes], needles: Needles, *, words: bool) -> set[str]:
    import pyarrow as pa

    try:
        return needles.among(unpack(file, needles), words=words)
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, pa.ArrowException):
        return set()  # not what it seems, or torn off: its bytes were searched as they are


def _gzip(file: IO[bytes], _: Needles) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        yield from iter(lambda: unpacked.read(_CHUNK), b"")


def _zip(file: IO[bytes], _: Needles) -> Iterator[bytes]:
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                while data := member.read(_CHUNK):
                    yield data


def _avro(file: IO[bytes], _: Needles) -> Chunks:
    return blocks(file)


def _parquet(file: IO[bytes], needles: Needles) -> Iterator[bytes]:
    """Yield the cells that may hold one of the texts, a line each."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches():
        for column in batch.columns:
            for cells in _cells(column, needles):
                yield b"\n".join(cells) + b"\n"


def _cells(column: Any, needles: Needles) -> Iterator[list[bytes]]:
    """Yield texts and bytes that hold a text, and whole numbers that are one; nested ones too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        yield from _cells(column.dictionary, needles)
    elif pa.types.is_struct(kind):
        for child in column.flatten():
            yield from _cells(child, needles)
    elif pa.types.is_map(kind):
        yield from _cells(column.keys, needles)
        yield from _cells(column.items, needles)
    elif pa.types.is_nested(kind):
        yield from _cells(column.flatten(), needles)
    elif pa.types.is_integer(kind):
        yield [str(v).encode() for v in column.filter(_one_of(column, needles)).to_pylist()]
    elif not (pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        cells = column if _has_bytes(kind) else column.cast(pa.string())
        for form in dict.fromkeys(f for own in needles.forms.values() for f in own):
            held = cells.filter(pc.match_substring(cells, form.decode())).to_pylist()
            yield [value if isinstance(value, bytes) else value.encode() for value in held]


def _has_bytes(kind: Any) -> bool:
    import pyarrow as pa

    is_ = pa.types
    return bool(
        is_.is_string(kind)
        or is_.is_large_string(kind)
        or is_.is_binary(kind)
        or is_.is_large_binary(kind)
    )


def _one_of(column: Any, needles: Needles) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = [int(t) for t in needles.forms if t.lstrip("-").isdigit() and abs(int(t)) < 2**63]
    return pc.is_in(column.cast(pa.int64(), safe=False), pa.array(wanted, pa.int64()))


_KINDS: Final[Mapping[bytes, tuple[Unpack, bool]]] = {
    b"\x1f\x8b": (_gzip, False),
    b"PK\x03\x04": (_zip, False),
    b"PAR1": (_parquet, True),
    b"Obj\x01": (_avro, False),
}
"""By the bytes with which such a file begins: how to unpack it, and whether it then holds words."""
