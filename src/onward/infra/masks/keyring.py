"""Key rings: the keys of one purpose, oldest first, in one secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass, field
from typing import Final

from onward.core.errors import CorruptError
from onward.core.ports.secrets import Secret, Secrets

TOKENS: Final = "mask-tokens"
REVEAL: Final = "mask-reveal"
_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Key:
    """A master key. `id` follows from the key and says nothing about it."""

    id: str
    secret: bytes = field(repr=False)

    def derived(self, domain: str, purpose: str) -> bytes:
        """Return the 64 bytes that `domain` uses for `purpose`: HMAC-SHA-512 of both."""
        return hmac.digest(self.secret, f"{purpose}\0{domain}".encode(), hashlib.sha512)


def keys(secrets: Secrets, name: str, *, make: bool) -> tuple[Key, ...]:
    """Return a ring's keys, oldest first; with `make` a ring that is nowhere gets its first key.

    Raises
    ------
    CorruptError
        The secret is no list of keys, or is not there.
    """
    found = secrets.find(name)
    if found is None and make:
        found = secrets.keep(name, Secret(_new()), first=True)
    if found is None:
        raise CorruptError(
            f"the secret {name!r}, by which values are masked, is in no secret store",
            expected="the project's key file, or the secret mounted where this process runs",
            next_step=f"give it what `onward secrets show {name}` prints where the project is",
        )
    return tuple(_key(line, name) for line in found.reveal().split() or [""])


def rotate(secrets: Secrets, name: str) -> Key:
    """Add a new key, which is used from now on, behind those of a ring; return it.

    Raises
    ------
    OnwardError
        The ring comes from a store that Onward does not write to.
    """
    found = secrets.find(name)
    lines = found.reveal().split() if found else []
    text = " ".join([*lines, _new()])
    secrets.keep(name, Secret(text))
    return _key(text.split()[-1], name)


def _new() -> str:
    return base64.urlsafe_b64encode(os.urandom(_BYTES)).decode()


def _key(line: str, name: str) -> Key:
    try:
        secret = base64.urlsafe_b64decode(line)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) < _BYTES:
        raise CorruptError(
            f"the secret {name!r} is no ring of keys",
            expected="keys of 32 bytes in URL-safe base64, oldest first, with white space between",
        )
    return Key(hmac.digest(secret, b"the id of an onward key", hashlib.sha256)[:4].hex(), secret)
