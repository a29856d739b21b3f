"""Provenance: an in-toto statement of how an image was made, in a DSSE envelope.

Statement v1 with SLSA's provenance v1 as its predicate; Dead Simple Signing Envelope 1.0. Nothing
in it depends on when or where it was written.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from onward.core.version import VERSION
from onward.stages.deploy.oci.descriptor import canonical, digest_of
from onward.stages.deploy.port import Signer, Subject

STATEMENT: Final = "application/vnd.in-toto+json"
ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"
_BUILD: Final = "urn:onward:image:v1"


class Verifier(Protocol):
    """Checks signatures."""

    key_id: str

    def verify(self, data: bytes, signature: bytes) -> bool: ...


def statement(subject: Subject, *, base: Mapping[str, str], bill: bytes) -> dict[str, Any]:
    """Return the statement.

    `base` says what the base was, ``{"uri": …, "digest": …}``; `bill` is the bill of materials,
    which the statement names by its digest.
    """
    image, model, trained = subject.image, subject.model, subject.made.trained
    materials: list[dict[str, Any]] = [
        {"name": "base", "uri": base["uri"], "digest": _sha256(base["digest"])},
        {"name": "environment", "digest": _sha256(subject.lock.digest)},
        {"name": "model", "uri": model.ref, "digest": {"sha256": model.digest}},
    ]
    if trained is not None:
        materials.append({"name": "training", "uri": trained.training.ref})
        materials += [{"name": "snapshot", "uri": ref} for ref in trained.training.inputs]
        if trained.commit:
            digest = {"gitCommit": trained.commit}
            materials.append({"name": "code", "uri": f"commit:{trained.commit}", "digest": digest})
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": f"{model.name}:{model.version}", "digest": _sha256(image.descriptor.digest)}
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD,
                "externalParameters": {"model": model.ref, "platform": image.platform},
                "internalParameters": {
                    "python": subject.lock.python,
                    "parameters": dict(trained.candidate.parameters) if trained else {},
                },
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": "urn:onward", "version": {"onward": VERSION}},
                "metadata": {"invocationId": subject.made.run or ""},
                "byproducts": [{"name": "bill of materials", "digest": _sha256(digest_of(bill))}],
            },
        },
    }


def envelope(said: Mapping[str, Any], signer: Signer) -> bytes:
    """Return the statement signed, in its envelope."""
    payload = canonical(said)
    signature = base64.b64encode(signer.sign(_encoded(payload))).decode()
    return canonical(
        {
            "payloadType": STATEMENT,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": signer.key_id, "sig": signature}],
        }
    )


def opened(data: bytes) -> dict[str, Any]:
    """Return the statement of an envelope, or of a bare one, whoever signed it.

    Raises
    ------
    ValueError
        It is neither.
    """
    found = json.loads(data)
    if "payload" in found:
        found = json.loads(base64.b64decode(found["payload"], validate=True))
    if not isinstance(found, dict) or "subject" not in found:
        raise ValueError("no in-toto statement")
    return found


def signed_by(data: bytes, verifier: Verifier) -> bool:
    """Return whether an envelope carries a signature by the verifier's key."""
    found = json.loads(data)
    if "payload" not in found:
        return False
    encoded = _encoded(base64.b64decode(found["payload"], validate=True))
    return any(
        verifier.verify(encoded, base64.b64decode(each["sig"], validate=True))
        for each in found["signatures"]
    )


def _encoded(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding."""
    kind = STATEMENT.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _sha256(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}
