"""Layers: a sorted tar of entries, gzipped; the same entries give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

LEVEL: Final = 4
"""gzip's; another would be another digest."""

_BUFFER: Final = 1 << 20
_KINDS: Final = {tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE}


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One path of a layer (no leading slash). A file's content is bytes, or a file to copy."""

    name: str
    content: bytes | Path = b""
    mode: int = 0o644
    owner: int = 0
    group: int = 0
    kind: bytes = tarfile.REGTYPE
    target: str = ""


def folder(name: str, *, mode: int = 0o755, owner: int = 0) -> Entry:
    """Return the entry of a folder."""
    return Entry(name=name, mode=mode, owner=owner, group=owner, kind=tarfile.DIRTYPE)


def files(contents: Mapping[str, bytes | Path]) -> list[Entry]:
    """Return a file's entry for each path; its folders come by themselves."""
    return [Entry(name=name, content=content) for name, content in contents.items()]


def of_tree(root: Path) -> Iterator[Entry]:
    """Return the entries of a folder that is a file system's root, with owners and modes.

    Devices, sockets and pipes are left out: whoever runs the image makes their own.
    """
    hard: dict[tuple[int, int], str] = {}
    for path in sorted(root.rglob("*")):
        name, found = path.relative_to(root).as_posix(), path.lstat()
        entry = Entry(
            name=name, mode=stat.S_IMODE(found.st_mode), owner=found.st_uid, group=found.st_gid
        )
        if path.is_symlink():
            yield replace(
                entry, kind=tarfile.SYMTYPE, mode=0o777, target=path.readlink().as_posix()
            )
        elif path.is_dir():
            yield replace(entry, kind=tarfile.DIRTYPE)
        elif path.is_file():
            first = hard.setdefault((found.st_dev, found.st_ino), name)
            if first == name:
                yield replace(entry, content=path)
            else:
                yield replace(entry, kind=tarfile.LNKTYPE, target=first)


def of_tar(archive: Path) -> Iterator[Entry]:
    """Return the entries of a tar of a file system's root, devices left out."""
    with tarfile.open(archive) as tar:
        for member in tar:
            name = PurePosixPath(member.name.removeprefix("./")).as_posix()
            kind = tarfile.REGTYPE if member.isreg() else member.type
            if kind not in _KINDS or name in ("", "."):
                continue
            content = tar.extractfile(member) if member.isreg() else None
            yield Entry(
                name=name,
                content=content.read() if content else b"",
                mode=member.mode,
                owner=member.uid,
                group=member.gid,
                kind=kind,
                target=member.linkname.removeprefix("./") if member.islnk() else member.linkname,
            )


def diff_id(entries: Sequence[Entry]) -> str:
    """Return the digest of the layer's tar, before compression."""
    hashed = _Hashing(None)
    _tar(entries, hashed)
    return hashed.digest


def write(entries: Sequence[Entry], sink: Sink) -> str:
    """Write the gzipped layer into `sink` and return its diff id."""
    with gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=LEVEL, mtime=0, filename="") as out:  # type: ignore[call-overload]  # it only writes
        hashed = _Hashing(out)
        _tar(entries, hashed)
    return hashed.digest


class _Hashing:
    """Hashes what passes through."""

    def __init__(self, sink: Sink | None) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return len(data) if self._sink is None else self._sink.write(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _tar(entries: Iterable[Entry], sink: Sink) -> None:
    by_name = {entry.name: entry for entry in entries}
    for name in list(by_name):
        for parent in PurePosixPath(name).parents:
            above = parent.as_posix()
            if above != ".":
                by_name.setdefault(above, folder(above))
    with tarfile.open(fileobj=sink, mode="w|", bufsize=_BUFFER, format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]  # it only writes
        for entry in sorted(by_name.values(), key=_place):
            _add(tar, entry)


def _place(entry: Entry) -> tuple[bool, str]:
    """Sort by name, hard links last: what they link to must be unpacked before."""
    return entry.kind == tarfile.LNKTYPE, entry.name


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.type, info.mode = entry.kind, entry.mode
    info.uid, info.gid, info.linkname = entry.owner, entry.group, entry.target
    if entry.kind != tarfile.REGTYPE:
        tar.addfile(info)
    elif isinstance(entry.content, bytes):
        info.size = len(entry.content)
        tar.addfile(info, io.BytesIO(entry.content))
    else:
        info.size = entry.content.stat().st_size
        with entry.content.open("rb") as content:
            tar.addfile(info, content)
