"""An OCI image layout on disk: blobs by digest, and an index of what is in it.

One layout holds many images; what they share is there once. Blobs appear whole or not at all, and
the index is replaced in one step, under a lock: several processes may write.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from onward.core.errors import CorruptError, NotFoundError, unknown_name
from onward.core.files import write_durably
from onward.stages.deploy.oci.descriptor import REF_NAME, Descriptor, canonical, digest_of

_INDEX: Final = "index.json"


class Layout:
    """The layout in `folder`, which is made when something is first written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # ------------------------------------------------------------ blobs

    def path(self, digest: str) -> Path:
        """Return where a blob is, or would be."""
        algorithm, _, name = digest.partition(":")
        return self.folder / "blobs" / algorithm / name

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def claim(self, digest: str) -> bool:
        """Tell whether a blob is there; one that is counts as new, so that no pruning takes it."""
        with self.locked():
            if not self.has(digest):
                return False
            os.utime(self.path(digest))
            return True

    def read(self, digest: str) -> bytes:
        """Return a blob.

        Raises
        ------
        CorruptError
            It is missing, or not what its digest says.
        """
        try:
            data = self.path(digest).read_bytes()
        except OSError:
            raise CorruptError(
                f"{self.folder} lacks blob {digest}", next_step="build or pull the image again"
            ) from None
        if digest_of(data) != digest:
            raise CorruptError(
                f"blob {digest[:19]}… in {self.folder} was altered",
                expected=f"{digest[:19]}…, found {digest_of(data)[:19]}…",
                next_step="remove the blob, and build or pull the image again",
            )
        return data

    def require(self, digest: str) -> None:
        """Refuse a blob that is missing or altered, without holding it in memory."""
        path = self.path(digest)
        if not path.is_file():
            self.read(digest)
        with path.open("rb") as file:
            found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        if found != digest:
            self.read(digest)

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Store bytes and return their descriptor."""
        with self.writing() as file:
            file.write(data)
        return Descriptor(media_type=media_type, digest=digest_of(data), size=len(data))

    def put_file(self, path: Path, media_type: str) -> Descriptor:
        """Store a file's content and return its descriptor."""
        with path.open("rb") as source:
            digest = f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"
            source.seek(0)
            if not self.claim(digest):
                with self.writing() as file:
                    shutil.copyfileobj(source, file)
        return Descriptor(media_type=media_type, digest=digest, size=path.stat().st_size)

    @contextmanager
    def writing(
        self, written: list[Descriptor] | None = None, *, wanted: str | None = None
    ) -> Iterator[BinaryIO]:
        """Give a file that becomes a blob when the block ends; nothing stays if it raises.

        With `written`, the blob's digest and size are added to it (the media type is empty).

        Raises
        ------
        CorruptError
            What was written has another digest than `wanted`.
        """
        blobs = self.folder / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".blob-", delete=False) as file:
            scratch = Path(file.name)
            try:
                yield file  # type: ignore[misc]  # a binary file in all but name
                file.flush()
                os.fsync(file.fileno())
                scratch.chmod(0o644)
                with scratch.open("rb") as whole:
                    name = hashlib.file_digest(whole, "sha256").hexdigest()
                size = scratch.stat().st_size
                if wanted not in (None, f"sha256:{name}"):
                    raise CorruptError(
                        f"something else came for blob {wanted}",
                        expected=f"that digest, not sha256:{name}",
                        next_step="pull again; if it stays so, the registry's storage is damaged",
                    )
                with self.locked():
                    scratch.replace(blobs / name)
            finally:
                scratch.unlink(missing_ok=True)
        if written is not None:
            written.append(Descriptor(media_type="", digest=f"sha256:{name}", size=size))

    def json(self, digest: str) -> dict[str, Any]:
        """Return a manifest, an index or a config."""
        found: dict[str, Any] = json.loads(self.read(digest))
        return found

    # ------------------------------------------------------------ the index

    def entries(self) -> list[Descriptor]:
        """Return what the index lists; nothing where there is no layout yet.

        Raises
        ------
        CorruptError
            The index cannot be read.
        """
        file = self.folder / _INDEX
        if not file.exists():
            return []
        try:
            listed = json.loads(file.read_bytes())["manifests"]
            return [Descriptor.from_json(found) for found in listed]
        except (ValueError, KeyError, TypeError):
            raise CorruptError(
                f"{self.folder} is no OCI image layout",
                expected="a readable index.json with a list of manifests",
            ) from None

    def resolve(self, reference: str) -> Descriptor:
        """Return the entry of a tag, a digest, or a digest's beginning.

        Raises
        ------
        NotFoundError
            The index has none, or several.
        """
        entries = self.entries()
        tagged = [e for e in entries if e.annotations.get(REF_NAME) == reference]
        short = reference.removeprefix("sha256:")
        starting = [e for e in entries if len(short) >= 6 and e.digest[7:].startswith(short)]
        found = {e.digest: e for e in tagged or starting}
        if len(found) != 1:
            known = [e.annotations[REF_NAME] for e in entries if REF_NAME in e.annotations]
            what, expected = unknown_name("image", reference, known)
            raise NotFoundError(f"{what} in {self.folder}", expected=expected)
        return next(iter(found.values()))

    def list_entry(self, descriptor: Descriptor, *, tag: str | None = None) -> None:
        """Add to the index, once. A tag moves here from where it was."""
        with self.locked():
            entries = self.entries()
            if tag is not None:
                entries = [_untagged(e) if _tag(e) == tag else e for e in entries]
                annotations = {**descriptor.annotations, REF_NAME: tag}
                descriptor = replace(descriptor, annotations=annotations)
            self.write_index([*entries, descriptor])

    def tags(self) -> dict[str, Descriptor]:
        """Return the tagged entries."""
        return {e.annotations[REF_NAME]: e for e in self.entries() if REF_NAME in e.annotations}

    def write_index(self, entries: Sequence[Descriptor]) -> None:
        """Replace the index, in one step; whoever does so from what it read holds the lock."""
        unique = {(e.digest, _tag(e)): e for e in entries}
        for digest, tag in list(unique):
            if tag is not None:
                unique.pop((digest, None), None)
        ordered = sorted(unique.values(), key=lambda e: (_tag(e) or "~", e.digest))
        index = {"schemaVersion": 2, "manifests": [entry.to_json() for entry in ordered]}
        write_durably(self.folder / "oci-layout", canonical({"imageLayoutVersion": "1.0.0"}))
        write_durably(self.folder / _INDEX, canonical(index))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the layout's lock: the index stays as it is, and no blob comes or goes."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            yield


def _tag(entry: Descriptor) -> str | None:
    return entry.annotations.get(REF_NAME)


def _untagged(entry: Descriptor) -> Descriptor:
    rest = {name: value for name, value in entry.annotations.items() if name != REF_NAME}
    return replace(entry, annotations=rest)
