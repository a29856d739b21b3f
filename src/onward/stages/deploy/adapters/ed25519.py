"""Signatures by an Ed25519 key."""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from onward.core.errors import DeclarationError
from onward.core.ports import Secret


class Ed25519Signer:
    """Signs with a private key. Only its public half is ever shown."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = _text(key.public_key())
        self.key_id = _id(key.public_key())

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`, 64 bytes."""
        return self._key.sign(data)

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Return whether `signature` is ours, of `data`."""
        return _valid(self._key.public_key(), data, signature)


class Ed25519Verifier:
    """Checks signatures by a public key, as `Ed25519Signer.public` shows it."""

    def __init__(self, text: str) -> None:
        try:
            self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
        except ValueError:
            raise DeclarationError(
                "the public key is none",
                expected="32 bytes in base64, as `onward image key` prints them",
            ) from None
        self.key_id = _id(self._key)

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Return whether `signature` is the key's, of `data`."""
        return _valid(self._key, data, signature)


def new_key() -> Secret:
    """Return a new private key as text."""
    return Secret(base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode())


def signer(secret: Secret) -> Ed25519Signer:
    """Return the signer of a private key's text.

    Raises
    ------
    DeclarationError
        The secret is no key.
    """
    try:
        raw = base64.b64decode(secret.reveal(), validate=True)
        return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(raw))
    except ValueError:
        raise DeclarationError(
            "the secret with which images are signed is no Ed25519 key",
            expected="32 bytes in base64",
            next_step="`onward image key --new` makes one",
        ) from None


def _valid(key: Ed25519PublicKey, data: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _text(key: Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _id(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"sha256:{hashlib.sha256(raw).hexdigest()[:16]}"
