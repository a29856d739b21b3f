"""What a request's body is written in: its type, and whether it is compressed."""

from __future__ import annotations

import zlib
from typing import Final

from onward.core.errors import OnwardError
from onward.stages.serve.gateway.protocol.http import Headers

UNTOLD: Final = b"application/x-www-form-urlencoded"
"""What curl says of a body that it was told nothing about: it is taken for JSON."""

JSON: Final = frozenset({b"", b"application/json", UNTOLD})
TENSORS: Final = JSON | {b"application/octet-stream"}
_WINDOWS: Final = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


class RefusedError(OnwardError):
    """A request that is answered by a status of its own."""

    def __init__(self, status: int, what: str, *, expected: str | None = None) -> None:
        super().__init__(what, expected=expected)
        self.status = status


def plain(body: bytes, headers: Headers, kinds: frozenset[bytes], limit: int) -> bytes:
    """Return the body as it was before it was compressed, at most `limit` bytes.

    Raises
    ------
    RefusedError
        Its type is none of `kinds` or its encoding is not known (415), it is larger than `limit`
        (413), or it is not what its encoding says (400).
    """
    kind = headers.get(b"content-type", b"")
    if kind not in kinds and kind.partition(b";")[0].strip().lower() not in kinds:
        raise RefusedError(
            415,
            f"the body's type is {kind.decode('latin-1')!r}",
            expected=" or ".join(sorted(k.decode() for k in kinds - {b"", UNTOLD})),
        )
    encoding = headers.get(b"content-encoding")
    return body if encoding is None else _decompressed(body, encoding.strip().lower(), limit)


def _decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    if encoding in (b"", b"identity"):
        return body
    window = _WINDOWS.get(encoding)
    if window is None:
        raise RefusedError(
            415,
            f"the body's encoding is {encoding.decode('latin-1')!r}",
            expected=" or ".join(sorted(name.decode() for name in _WINDOWS)),
        )
    stream = zlib.decompressobj(window)
    try:
        found = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise RefusedError(400, f"the body is no {encoding.decode()}: {error}") from None
    if len(found) > limit:
        raise RefusedError(413, f"the body is larger than {limit} bytes, once decompressed")
    if not stream.eof or stream.unused_data:
        raise RefusedError(400, f"the body's {encoding.decode()} is cut off, or something follows")
    return found
