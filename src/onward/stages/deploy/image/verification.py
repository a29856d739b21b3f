"""Checking an image: that it is whole, that what is said of it is about it, who signed that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onward.core.errors import OnwardError
from onward.stages.deploy.image.provenance import (
    ENVELOPE,
    STATEMENT,
    Verifier,
    opened,
    signed_by,
)
from onward.stages.deploy.oci.descriptor import Descriptor, digest_of
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.referrers import content, referrers


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check's answer, in words."""

    check: str
    passed: bool
    reason: str


def check(layout: Layout, image: Descriptor, verifier: Verifier | None) -> Sequence[Check]:
    """Hold an image to its digests, its provenance and, with a verifier, its signature."""
    whole = _blobs(layout, image)
    if not whole.passed:
        return [whole]
    try:
        return [whole, *_statements(layout, image, verifier)]
    except (OnwardError, ValueError, KeyError, TypeError, IndexError) as error:
        reason = f"what is attached cannot be read: {error}"
        return [whole, Check(check="provenance", passed=False, reason=reason)]


def _blobs(layout: Layout, image: Descriptor) -> Check:
    try:
        manifest = layout.json(image.digest)
        parts = [manifest["config"], *manifest["layers"]]
        for part in parts:
            layout.require(part["digest"])
    except OnwardError as error:
        return Check(check="blobs", passed=False, reason=error.what)
    size = sum(part["size"] for part in parts)
    reason = f"{len(parts) + 1} blobs, {size / 1e6:,.1f} MB, are what their digests say"
    return Check(check="blobs", passed=True, reason=reason)


def _statements(layout: Layout, image: Descriptor, verifier: Verifier | None) -> Iterator[Check]:
    found = referrers(layout, image)
    said = [content(layout, e) for e in found if e.artifact_type in (STATEMENT, ENVELOPE)]
    if not said:
        yield Check(check="provenance", passed=False, reason="none is attached")
        return
    about = [data for data in said if _is_about(data, image)]
    yield Check(
        check="provenance",
        passed=bool(about),
        reason="it names this image" if about else "it is about another image",
    )
    bills = {digest_of(content(layout, entry)) for entry in found}
    named = [f"sha256:{b['digest']['sha256']}" for data in about for b in _byproducts(data)]
    kept = bool(named) and set(named) <= bills
    yield Check(
        check="bill of materials",
        passed=kept,
        reason="the provenance names it" if kept else "it is not the one that was written",
    )
    yield _signature(about, verifier)


def _signature(about: Sequence[bytes], verifier: Verifier | None) -> Check:
    signatures = [s for data in about for s in json.loads(data).get("signatures", ())]
    if verifier is None:
        reason = "not checked: give the public key with --key" if signatures else "not signed"
        return Check(check="signature", passed=not signatures, reason=reason)
    signed = any(signed_by(data, verifier) for data in about)
    reason = f"by key {verifier.key_id}" if signed else f"none by key {verifier.key_id}"
    return Check(check="signature", passed=signed, reason=reason)


def _is_about(data: bytes, image: Descriptor) -> bool:
    subjects = opened(data)["subject"]
    return image.digest in {f"sha256:{s['digest']['sha256']}" for s in subjects}


def _byproducts(data: bytes) -> list[dict[str, dict[str, str]]]:
    found: list[dict[str, dict[str, str]]] = opened(data)["predicate"]["runDetails"]["byproducts"]
    return found
