"""JSON Web Tokens, by PyJWT: signed by a secret that both sides know, or by keys of a JWKS."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path
from typing import Any, Final

import httpx
import jwt

from onward.core.errors import DeclarationError, DeniedError
from onward.core.records.access import Identity

_REFRESH_S: Final = 300.0
_AGAIN_S: Final = 5.0
_UNREADABLE: Final = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    httpx.HTTPError,
    jwt.PyJWTError,
)
"""What reading keys may raise: `jwt` takes for granted that a document is an object."""


class KeySet:
    """Public keys by their id, from a file or a URL, and kept fresh beside whoever asks.

    Raises
    ------
    DeclarationError
        There is no key set there to begin with.
    """

    def __init__(self, place: str, *, refresh_s: float = _REFRESH_S) -> None:
        self._place = place
        self._refresh_s = refresh_s
        self._wanted = threading.Event()
        self._closed = threading.Event()
        try:
            self._keys = self._read()
        except _UNREADABLE as error:
            raise DeclarationError(
                f"no keys can be read from {place}: {error}",
                expected="a JWKS document, at [callers] jwks",
            ) from None
        threading.Thread(target=self._keep, name="jwks", daemon=True).start()

    def find(self, key_id: str | None) -> Any:
        """Return a key; one that is not known is looked for, for the next time that it is asked."""
        found = self._keys.get(key_id)
        if found is None and key_id is None and len(self._keys) == 1:
            [found] = self._keys.values()
        if found is None:
            self._wanted.set()
            raise DeniedError("the token is signed by a key that is not known (yet)")
        return found

    def close(self) -> None:
        self._closed.set()
        self._wanted.set()

    def _read(self) -> dict[str | None, Any]:
        if self._place.startswith(("http://", "https://")):
            document = httpx.get(self._place, timeout=5.0).raise_for_status().json()
        else:
            document = json.loads(Path(self._place).read_bytes())
        keys = jwt.PyJWKSet.from_dict(document).keys
        return {key.key_id: key for key in keys}

    def _keep(self) -> None:
        while not self._closed.is_set():
            self._wanted.wait(self._refresh_s)
            with contextlib.suppress(*_UNREADABLE):  # the keys that were known stay good
                self._keys = self._read()
            self._closed.wait(min(_AGAIN_S, self._refresh_s))
            self._wanted.clear()


class JwtCallers:
    """Knows callers by JWTs.

    Parameters
    ----------
    secret
        With what HS256 tokens are signed; None takes none of them.
    keys
        Whose RS256 and ES256 signatures are good; None takes none of them.
    audience, issuer
        What ``aud`` must hold and ``iss`` must be; empty for anything.
    leeway_s
        How far clocks may be apart.
    roles
        The claim with the caller's roles: a list, or words.
    """

    def __init__(
        self,
        *,
        secret: str | None,
        keys: KeySet | None,
        audience: str,
        issuer: str,
        leeway_s: float,
        roles: str,
    ) -> None:
        self._secret, self._keys = secret, keys
        self._roles = roles
        self._algorithms = [*(["HS256"] if secret else []), *(["RS256", "ES256"] if keys else [])]
        self._rules: dict[str, Any] = {
            "audience": audience or None,
            "issuer": issuer or None,
            "leeway": leeway_s,
            "options": {"require": ["exp", "sub"], "verify_aud": bool(audience)},
        }

    def identify(self, token: str) -> Identity:
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in self._algorithms:
                raise DeniedError(f"tokens signed by {algorithm!r} are not taken")
            key: Any = self._secret if algorithm == "HS256" else self._key(header.get("kid"))
            claims = jwt.decode(token, key, algorithms=[algorithm], **self._rules)
            expires = float(claims["exp"]) + self._rules["leeway"]
        except (jwt.PyJWTError, TypeError, OverflowError) as error:
            # A key of another kind is no type for it; an ``exp`` may be more than a float holds.
            raise DeniedError(f"the token is not good: {error}") from None
        told = claims.get(self._roles)
        roles = told.split() if isinstance(told, str) else told if isinstance(told, list) else ()
        return Identity(name=str(claims["sub"]), roles=tuple(map(str, roles)), expires=expires)

    def close(self) -> None:
        if self._keys is not None:
            self._keys.close()

    def _key(self, key_id: str | None) -> Any:
        assert self._keys is not None
        return self._keys.find(key_id)
