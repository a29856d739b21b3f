"""Pruning a layout: images that go, and the blobs that none of those that stay needs.

The index is replaced first, in one step; blobs go after that, one by one. Cut short at any line,
every image that stays is whole, and the next pruning takes what this one left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onward.stages.deploy.oci.descriptor import BASE_DIGEST, BASE_NAME, Descriptor
from onward.stages.deploy.oci.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What of a layout stays and what goes.

    Parameters
    ----------
    stay, go
        Entries of the index, with what is attached to images.
    blobs
        What is needed by nothing that stays, by digest, in bytes; what images share goes with the
        last of them.
    young
        How many more would go, were they older.
    """

    stay: tuple[Descriptor, ...]
    go: tuple[Descriptor, ...]
    blobs: dict[str, int]
    young: int

    @property
    def bytes(self) -> int:
        """How many bytes are freed."""
        return sum(self.blobs.values())


def planned(layout: Layout, going: Collection[str], *, before: datetime) -> Pruning:
    """Return what a pruning of the images with these digests would do.

    Blobs that were written since `before` stay: they may belong to an image on its way.

    Raises
    ------
    CorruptError
        An image that stays cannot be read: what it needs is not known.
    """
    entries = layout.entries()
    about = {entry.digest: _subject(layout, entry) for entry in entries}
    stay = tuple(e for e in entries if (about[e.digest] or e.digest) not in going)
    needed = {digest for entry in stay for digest in _reachable(layout, entry)}
    found = {digest: stat for digest, stat in _blobs(layout) if digest not in needed}
    old = {digest: size for digest, (size, at) in found.items() if at <= before.timestamp()}
    return Pruning(
        stay=stay,
        go=tuple(entry for entry in entries if entry not in stay),
        blobs=old,
        young=len(found) - len(old),
    )


def prune(layout: Layout, going: Collection[str], *, before: datetime) -> Pruning:
    """Remove the images with these digests and what is attached to them; return what went.

    Raises
    ------
    CorruptError
        An image that stays cannot be read; nothing was removed.
    """
    with layout.locked():
        plan = planned(layout, going, before=before)
        if plan.go:
            layout.write_index(plan.stay)
        for digest in plan.blobs:
            layout.path(digest).unlink(missing_ok=True)
    return plan


def _subject(layout: Layout, entry: Descriptor) -> str | None:
    """Return the digest of the image that an artifact is about; None for an image."""
    if entry.artifact_type is None:
        return None
    subject: dict[str, Any] = layout.json(entry.digest).get("subject") or {}
    return subject.get("digest")


def _reachable(layout: Layout, entry: Descriptor) -> Iterator[str]:
    """Return an entry's digest, and those of all that it is made of.

    An image's base counts, as far as the layout has it: the next image is built on it.
    """
    yield entry.digest
    content = layout.json(entry.digest)
    parts = set(_parts(content))
    yield from parts
    for digest in _bases(content.get("annotations") or {}) - parts:  # a root is a layer itself
        if layout.has(digest):
            yield digest
            yield from _parts(layout.json(digest))


def _parts(content: Mapping[str, Any]) -> Iterator[str]:
    """Return the digests of what a manifest names: its config and its layers."""
    if "config" in content:
        yield content["config"]["digest"]
    yield from (layer["digest"] for layer in content.get("layers", ()))


def _bases(annotations: Mapping[str, str]) -> set[str]:
    """Return the digests of a base: its manifest's, and that of the index by which it is named."""
    named = annotations.get(BASE_NAME, "").partition("@")[2]
    return {digest for digest in (annotations.get(BASE_DIGEST, ""), named) if digest}


def _blobs(layout: Layout) -> Iterator[tuple[str, tuple[int, float]]]:
    """Return every blob by digest, with its size in bytes and when it was written or claimed."""
    for file in (layout.folder / "blobs" / "sha256").glob("*"):
        stat = file.stat()
        yield f"sha256:{file.name}", (stat.st_size, stat.st_mtime)
