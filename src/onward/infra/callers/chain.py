"""Callers by a project's tokens or by JWTs, whichever is shown."""

from __future__ import annotations

from typing import Final

from onward.core.errors import DeclarationError, unknown_name
from onward.core.ports import Secrets
from onward.core.ports.callers import Callers
from onward.core.records.access import Identity
from onward.infra.callers.tokens import StaticTokens
from onward.infra.secrets.chain import open_secrets

_LEAST: Final = 32


class AnyCaller:
    """Asks the knower whose form a token has: three parts with dots between them are a JWT."""

    def __init__(self, tokens: StaticTokens, jwts: Callers | None) -> None:
        self._tokens, self._jwts = tokens, jwts

    def identify(self, token: str) -> Identity:
        knower = self._jwts if self._jwts is not None and token.count(".") == 2 else self._tokens
        return knower.identify(token)

    def close(self) -> None:
        if self._jwts is not None:
            self._jwts.close()


def open_callers(
    *,
    keyfile: str,
    folder: str,
    controller: str = "",
    jwt_secret: str = "",
    jwks: str = "",
    audience: str = "",
    issuer: str = "",
    leeway_s: float = 30.0,
    roles: str = "roles",
) -> Callers:
    """Open what knows callers.

    Parameters
    ----------
    keyfile, folder
        Where secrets are.
    controller
        The SHA-256 of the token of whoever started the server.
    jwt_secret
        The name of the secret that HS256 tokens are signed with; empty takes none.
    jwks
        The file or URL with the keys of RS256 and ES256 tokens; empty takes none.

    Raises
    ------
    DeclarationError
        The secret or the keys are not there.
    """
    secrets = open_secrets(keyfile=keyfile, folder=folder)
    tokens = StaticTokens(secrets, controller=controller)
    if not (jwt_secret or jwks):
        return AnyCaller(tokens, None)
    from onward.infra.callers.jwt import JwtCallers, KeySet

    jwts = JwtCallers(
        secret=_reveal(secrets, jwt_secret) if jwt_secret else None,
        keys=KeySet(jwks) if jwks else None,
        audience=audience,
        issuer=issuer,
        leeway_s=leeway_s,
        roles=roles,
    )
    return AnyCaller(tokens, jwts)


def _reveal(secrets: Secrets, name: str) -> str:
    found = secrets.find(name)
    if found is None:
        what, expected = unknown_name("secret", name, (e.name for e in secrets.entries()))
        raise DeclarationError(
            what, expected=expected, next_step=f"`onward secrets set {name}` keeps one"
        )
    secret = found.reveal()
    if (size := len(secret.encode())) < _LEAST:
        raise DeclarationError(
            f"the secret {name!r} has {size} bytes: tokens signed with it can be forged",
            expected=f"{_LEAST} bytes or more, by RFC 7518",
            next_step=f"`openssl rand -base64 48 | onward secrets set {name}`, at both ends",
        )
    return secret
