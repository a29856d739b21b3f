"""Where files are: a folder of this machine, or whatever fsspec reaches by a URL."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

from onward.core.errors import DataError, DeclarationError, OnwardError, unknown_name
from onward.core.urls import HIDDEN, backend_of, filled, shown, without_secrets
from onward.stages.ingest.config import Source
from onward.stages.ingest.origins import Files
from onward.stages.ingest.port import Surroundings

_UNFINISHED: Final = (".tmp", ".part")
_SECRET: Final = ("secret", "password", "passphrase", "token", "key", "credential")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells cheaply that a file changed: a time or an ETag, and `size` in bytes.

    The size is -1 where a store does not tell it.
    """

    size: int
    tag: str


class Folder(Protocol):
    """The files that a pattern matches."""

    def present(self) -> dict[str, Stamp]:
        """Return the complete files, by name, in sorted order.

        A name that begins with ``.`` or ``_``, or ends in ``.tmp`` or ``.part``, is still being
        written.
        """
        ...

    def fetch(self, name: str, into: Path) -> Path:
        """Return a local file with the content; a remote one is streamed into a new folder."""
        ...


class LocalFolder:
    """Files under a project's folder; a name is relative to it."""

    def __init__(self, pattern: str, folder: Path) -> None:
        self._pattern, self._folder = pattern, folder

    def present(self) -> dict[str, Stamp]:
        found = {}
        names = glob.glob(self._pattern, root_dir=self._folder, recursive=True)  # noqa: PTH207 (Path.glob refuses an absolute pattern)
        for name in sorted(names):
            path = self._folder / name
            if _finished(name) and path.is_file():
                stat = path.stat()
                found[PurePosixPath(name).as_posix()] = Stamp(stat.st_size, str(stat.st_mtime_ns))
        return found

    def fetch(self, name: str, into: Path) -> Path:  # noqa: ARG002 (nothing is to be fetched)
        return self._folder / name


class RemoteFolder:
    """Files behind a URL; a name is a URL without what opens it."""

    def __init__(self, source: Source, origin: Files, surroundings: Surroundings) -> None:
        self._source = source
        self._url = filled(origin.url, surroundings.fill)
        protocol = backend_of(self._url)
        options = {**surroundings.storage.get(protocol, {}), **origin.storage_options}
        self._options = _filled(options, surroundings)
        self._paths: dict[str, str] = {}

    def present(self) -> dict[str, Stamp]:
        from fsspec.core import url_to_fs

        with self._explained():
            system, pattern = url_to_fs(self._url, **self._options)
            system.invalidate_cache()  # a listing that is kept would hide new files
            found = {}
            for path, facts in sorted(system.glob(pattern, detail=True).items()):
                if facts["type"] == "file" and _finished(path):
                    name = shown(system.unstrip_protocol(path))
                    self._paths[name] = path
                    found[name] = _stamp(system, path, facts)
            return found

    def fetch(self, name: str, into: Path) -> Path:
        from fsspec.core import url_to_fs

        into.mkdir()
        target = into / PurePosixPath(name).name
        with self._explained():
            system, _ = url_to_fs(self._url, **self._options)
            system.get_file(self._paths[name], str(target))
        return target

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn whatever a store's library raises into an error without secrets."""
        try:
            yield
        except OnwardError:
            raise
        except ImportError as error:
            raise DeclarationError(
                f"source {self._source.name!r} cannot read from {shown(self._url)}: {error}",
                next_step="pip install 'onward[s3]' for s3://, else what the message names",
                location=self._source.location,
            ) from None
        except Exception as error:  # each library has its own errors
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> OnwardError:
        from fsspec import available_protocols

        protocol = backend_of(self._url)
        if protocol not in available_protocols():
            what, expected = unknown_name("file system", protocol, available_protocols())
            return DeclarationError(what, expected=expected, location=self._source.location)
        said = " ".join(without_secrets(f"{type(error).__name__}: {error}", self._url).split())
        for secret in _secrets(self._options):
            said = said.replace(secret, HIDDEN)
        return DataError(
            f"source {self._source.name!r} cannot read from {shown(self._url)}: {said}",
            expected="a store that answers, and files that may be listed and read",
            location=self._source.location,
        )


def open_folder(source: Source, surroundings: Surroundings) -> Folder:
    """Return where a source's files are."""
    origin = source.origin
    assert isinstance(origin, Files)
    if backend_of(filled(origin.url, surroundings.fill)):
        return RemoteFolder(source, origin, surroundings)
    return LocalFolder(surroundings.fill(origin.url), surroundings.folder)


def _finished(name: str) -> bool:
    last = PurePosixPath(name).name
    return not last.startswith((".", "_")) and not last.endswith(_UNFINISHED)


def _stamp(system: Any, path: str, facts: Mapping[str, Any]) -> Stamp:
    if facts["size"] is None:  # a web server's listing tells names alone
        facts = system.info(path)
    size = facts.get("size")
    return Stamp(-1 if size is None else int(size), _tag(system, path, facts))


def _tag(system: Any, path: str, facts: Mapping[str, Any]) -> str:
    """Return the store's own mark of a content, else its time, else fsspec's key for the file."""
    for name in ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "modified"):
        if facts.get(name):
            return str(facts[name]).strip('"')
    return str(system.ukey(path))


def _filled(options: Mapping[str, Any], surroundings: Surroundings) -> dict[str, Any]:
    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return surroundings.fill(value)
        return _filled(value, surroundings) if isinstance(value, Mapping) else value

    return {name: filled(value) for name, value in options.items()}


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts among options, at any depth, whose name says that they are secret."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and value and any(word in name.lower() for word in _SECRET):
            yield value
