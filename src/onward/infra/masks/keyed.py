"""Keyed values: digests that cannot be undone, and ciphertexts that the key's owner can read."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Sequence
from typing import Final

from onward.core.errors import DataError
from onward.core.records import Mask
from onward.infra.masks.keyring import Key

_NONCE: Final = 12
_SHAPES: Final = {
    "p": r"[0-9a-f]{32}",
    "h": r"[0-9a-f]{64}",
    "s": r"[\w=-]{22,}",
    "e": r"[\w=-]{38,}",
}


def letter(mask: Mask) -> str:
    """Return the letter with which the mask's values begin."""
    if mask.kind == "reveal":
        return "s" if mask.stable else "e"
    return mask.kind[0]


def masker(mask: Mask, key: Key) -> Callable[[str], str]:
    """Return the function that masks one text by `key`."""
    head = f"{letter(mask)}-{key.id}-"
    secret = key.derived(mask.domain, mask.kind)
    if mask.kind == "reveal":
        encrypt = _stable(secret) if mask.stable else _fresh(secret)
        return lambda text: head + base64.urlsafe_b64encode(encrypt(text.encode())).decode()
    length = 16 if mask.kind == "pseudonym" else 32
    return lambda text: head + hmac.digest(secret, text.encode(), hashlib.sha256)[:length].hex()


def recogniser(mask: Mask, key: Key) -> Callable[[str], bool]:
    """Return the function that tells whether a text has the form of the mask's values."""
    kind = letter(mask)
    shape = re.compile(f"{kind}-{key.id}-{_SHAPES[kind]}")
    return lambda text: shape.fullmatch(text) is not None


def revealed(mask: Mask, masked: str, keys: Sequence[Key]) -> str:
    """Return what a value of a ``reveal`` mask was.

    Raises
    ------
    DataError
        It is no such value, or was made for another column, or its key is gone.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

    kind, _, rest = masked.partition("-")
    key_id, _, body = rest.partition("-")
    if kind != letter(mask):
        raise _refused(f"the value is none of a column that is masked by {mask}")
    key = next((k for k in keys if k.id == key_id), None)
    if key is None:
        raise _refused(f"the key {key_id!r} that made the value is in no secret store")
    secret = key.derived(mask.domain, mask.kind)
    try:
        data = base64.urlsafe_b64decode(body)
        if mask.stable:
            return AESSIV(secret).decrypt(data, None).decode()
        return AESGCM(secret[:32]).decrypt(data[:_NONCE], data[_NONCE:], None).decode()
    except (InvalidTag, binascii.Error, ValueError):
        raise _refused("the value was altered, or belongs to another column") from None


def _stable(secret: bytes) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    cipher = AESSIV(secret)
    # AES-SIV takes no empty text; one byte before each keeps them apart.
    return lambda data: cipher.encrypt(data, None)


def _fresh(secret: bytes) -> Callable[[bytes], bytes]:
    """Encrypt under a random nonce: at most 2**32 values a key (NIST SP 800-38D, 8.3)."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(secret[:32])

    def encrypt(data: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + cipher.encrypt(nonce, data, None)

    return encrypt


def _refused(what: str) -> DataError:
    return DataError(
        f"a value cannot be revealed: {what}",
        expected="a value as it stands in the table, of the column that is named",
    )
