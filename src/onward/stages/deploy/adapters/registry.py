"""Images to and from a registry, with what is attached to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

import httpx

from onward.core.errors import CorruptError, DeclarationError, UnavailableError
from onward.stages.deploy.adapters.registry_client import ATTEMPTS, Access, RegistryClient
from onward.stages.deploy.image.base import as_base
from onward.stages.deploy.oci.descriptor import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Descriptor,
    digest_of,
)
from onward.stages.deploy.oci.image import Image, of_platform, read_image
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.reference import Reference
from onward.stages.deploy.oci.referrers import fallback_index, fallback_tag, referrers

CHUNK: Final = 16 << 20
_CHUNK: Final = (202, 404, 416)
_MANIFESTS: Final = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did: blobs sent, taken over from another repository, found there already."""

    digest: str
    sent: int
    mounted: int
    there: int


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry, as `access` reaches it; `chunk` bytes are sent at once."""

    access: Access
    chunk: int = CHUNK

    def push(
        self, layout: Layout, image: Descriptor, target: Reference, *, share: Sequence[str] = ()
    ) -> Pushed:
        """Send an image and all that refers to it; `share` are repositories to take layers from.

        Blobs go before the manifests that name them, the tag comes last: a push that is cut short
        leaves no image that is not whole, and the next one goes on where it stood.
        """
        counts = {"sent": 0, "mounted": 0, "there": 0}
        reads = tuple(f"repository:{name}:pull" for name in share)
        scopes = (f"repository:{target.name}:pull,push", *reads)
        with RegistryClient(target.host, self.access, scopes=scopes) as client:
            about = referrers(layout, image)
            for manifest in (image, *about):
                parts = layout.json(manifest.digest)
                for part in [parts["config"], *parts["layers"]]:
                    found = Descriptor.from_json(part)
                    counts[self._push_blob(client, layout, found, target.name, share)] += 1
            answer = _put_manifest(client, layout, image, target, target.tag or image.digest)
            for manifest in about:
                answer = _put_manifest(client, layout, manifest, target, manifest.digest)
            if about and "OCI-Subject" not in answer.headers:
                _put_fallback(client, image, about, target)
        return Pushed(digest=image.digest, **counts)

    def pull(self, layout: Layout, source: Reference, *, platform: str) -> Descriptor:
        """Bring an image and all that refers to it; each blob is checked against its digest."""
        with self._reading(source) as client:
            image = self._pull_image(client, layout, source, platform)
            for found in _referrers(client, source, image.digest):
                layout.put(_get_manifest(client, source.name, found.digest)[1], MANIFEST)
                parts = layout.json(found.digest)
                for part in [parts["config"], *parts["layers"]]:
                    self._pull_blob(client, layout, Descriptor.from_json(part), source.name)
                layout.list_entry(found)
        return image

    def pull_base(self, layout: Layout, source: Reference, *, platform: str) -> Image:
        """Bring an image alone, to build upon."""
        if source.digest and layout.has(source.digest):
            kind = layout.json(source.digest).get("mediaType", MANIFEST)
            size = layout.path(source.digest).stat().st_size
            there = Descriptor(media_type=kind, digest=source.digest, size=size)
            if kind not in (INDEX, DOCKER_INDEX):
                image = read_image(layout, there)
                if all(layout.has(layer.descriptor.digest) for layer in image.layers):
                    return image
        with self._reading(source) as client:
            return read_image(layout, self._pull_image(client, layout, source, platform))

    def _reading(self, source: Reference) -> RegistryClient:
        scopes = (f"repository:{source.name}:pull",)
        return RegistryClient(source.host, self.access, scopes=scopes)

    def _pull_image(
        self, client: RegistryClient, layout: Layout, source: Reference, platform: str
    ) -> Descriptor:
        found, data = _get_manifest(client, source.name, source.version)
        if found.media_type in (INDEX, DOCKER_INDEX):
            chosen = of_platform(json.loads(data), platform)
            found, data = _get_manifest(client, source.name, chosen.digest)
        parts = json.loads(data)
        for part in [parts["config"], *parts["layers"]]:
            self._pull_blob(client, layout, Descriptor.from_json(part), source.name)
        layout.put(data, found.media_type)
        return found

    def _push_blob(
        self,
        client: RegistryClient,
        layout: Layout,
        blob: Descriptor,
        name: str,
        share: Sequence[str],
    ) -> str:
        path = f"{name}/blobs/{blob.digest}"
        if client.ask("HEAD", path, fine=(200, 404)).status_code == httpx.codes.OK:
            return "there"
        for other in share:
            asked = f"{name}/blobs/uploads/?mount={blob.digest}&from={other}"
            answer = client.ask("POST", asked, fine=(201, 202), content=b"")
            if answer.status_code == httpx.codes.CREATED:
                return "mounted"
        for _ in range(ATTEMPTS):
            answer = client.ask("POST", f"{name}/blobs/uploads/", fine=(202,), content=b"")
            with layout.path(blob.digest).open("rb") as file:
                if self._send(client, _location(answer), file, blob):
                    return "sent"
        raise UnavailableError(
            f"{client.host} does not take blob {blob.digest[:19]}… ({blob.size / 1e6:,.1f} MB)",
            next_step="push again: what it has by now is not sent twice",
        )

    def _send(self, client: RegistryClient, place: str, file: BinaryIO, blob: Descriptor) -> bool:
        """Send a blob: a small one at once, a larger one in chunks, from where a cut left it.

        Return False if the registry has given the upload up, as some do with one that was cut in
        the middle of a chunk.
        """
        done, kind = 0, {"Content-Type": "application/octet-stream"}
        while blob.size > self.chunk and done < blob.size:
            file.seek(done)
            data = file.read(self.chunk)
            headers = {**kind, "Content-Range": f"{done}-{done + len(data) - 1}"}
            answer = client.ask("PATCH", place, fine=_CHUNK, content=data, headers=headers)
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                answer = client.ask("GET", place, fine=(204, 404))
            if answer.status_code == httpx.codes.NOT_FOUND:
                return False
            place, reached = _location(answer), _reached(answer)
            if reached <= done:
                return False
            done = reached
        file.seek(done)
        joint = "&" if "?" in place else "?"
        last = f"{place}{joint}digest={blob.digest}"
        answer = client.ask("PUT", last, fine=(201, 404), content=file.read(), headers=kind)
        return answer.status_code == httpx.codes.CREATED

    def _pull_blob(
        self, client: RegistryClient, layout: Layout, blob: Descriptor, name: str
    ) -> None:
        if layout.claim(blob.digest):
            return
        with layout.writing(wanted=blob.digest) as file:
            _receive(client, f"{name}/blobs/{blob.digest}", file)


@dataclass(frozen=True, slots=True)
class RegistryBase:
    """An image in a registry, by digest."""

    registry: Registry
    reference: Reference

    @property
    def name(self) -> str:
        return str(self.reference)

    def fetch(self, layout: Layout, *, platform: str) -> Image:
        """Pull it, unless the layout has it.

        Raises
        ------
        DeclarationError
            The reference names a tag alone: another day it would be another image.
        """
        if self.reference.digest is None:
            raise DeclarationError(
                f"[deploy] base names {self.reference} by a tag, which moves",
                expected="a digest: host/name@sha256:…",
            )
        return as_base(self.registry.pull_base(layout, self.reference, platform=platform))


def _receive(client: RegistryClient, path: str, file: BinaryIO) -> None:
    """Write a blob's bytes into `file`; after a cut, go on where it was."""
    for attempt in range(ATTEMPTS):
        try:
            with client.stream(path, start=file.tell()) as answer:
                if answer.status_code == httpx.codes.OK:
                    file.seek(0)
                    file.truncate()
                file.writelines(answer.iter_bytes())
                return
        except httpx.TransportError as error:
            if attempt + 1 == ATTEMPTS:
                raise client.unreachable(error) from None


def _reached(answer: httpx.Response) -> int:
    """Return how many bytes of an upload the registry has."""
    _, _, last = answer.headers.get("Range", "0-0").removeprefix("bytes=").partition("-")
    return int(last) + 1 if int(last) else 0


def _location(answer: httpx.Response) -> str:
    return str(answer.url.join(answer.headers["Location"]))


def _put_manifest(
    client: RegistryClient, layout: Layout, found: Descriptor, target: Reference, version: str
) -> httpx.Response:
    kind = {"Content-Type": found.media_type}
    path = f"{target.name}/manifests/{version}"
    return client.ask("PUT", path, fine=(201,), content=layout.read(found.digest), headers=kind)


def _put_fallback(
    client: RegistryClient, image: Descriptor, about: Sequence[Descriptor], target: Reference
) -> None:
    """List the referrers under the image's own tag, with those that others attached."""
    there = {found.digest: found for found in _listed(client, target.name, fallback_tag(image))}
    every = {**there, **{found.digest: found for found in about}}
    path = f"{target.name}/manifests/{fallback_tag(image)}"
    content = fallback_index([every[digest] for digest in sorted(every)])
    client.ask("PUT", path, fine=(201,), content=content, headers={"Content-Type": INDEX})


def _referrers(client: RegistryClient, source: Reference, digest: str) -> list[Descriptor]:
    answer = client.ask("GET", f"{source.name}/referrers/{digest}", fine=(200, 404))
    if answer.status_code == httpx.codes.OK:
        return [Descriptor.from_json(found) for found in answer.json()["manifests"]]
    return _listed(client, source.name, digest.replace(":", "-"))


def _listed(client: RegistryClient, name: str, tag: str) -> list[Descriptor]:
    accept = {"Accept": INDEX}
    answer = client.ask("GET", f"{name}/manifests/{tag}", fine=(200, 404), headers=accept)
    if answer.status_code != httpx.codes.OK:
        return []
    return [Descriptor.from_json(found) for found in answer.json()["manifests"]]


def _get_manifest(client: RegistryClient, name: str, version: str) -> tuple[Descriptor, bytes]:
    accept = {"Accept": _MANIFESTS}
    answer = client.ask("GET", f"{name}/manifests/{version}", fine=(200,), headers=accept)
    data = answer.content
    digest = digest_of(data)
    if version.startswith("sha256:") and digest != version:
        raise CorruptError(
            f"{client.host} sent another manifest than {version[:19]}…", expected=version
        )
    kind = answer.headers["Content-Type"].partition(";")[0]
    return Descriptor(media_type=kind, digest=digest, size=len(data)), data
