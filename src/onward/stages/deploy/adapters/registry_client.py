"""Requests to a registry: its login, its tokens, and trying again what a network cut short.

The OCI Distribution Specification 1.1, with Docker's token authentication.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx

from onward.core.errors import DeniedError, NotFoundError, UnavailableError
from onward.core.ports import Secret

ATTEMPTS: Final = 4
_PAUSE_S: Final = 0.2
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a registry is reached: plain HTTP only if `insecure`, a CA of one's own, a login."""

    insecure: bool = False
    ca: str | None = None
    username: str = ""
    password: Secret | None = None


class RegistryClient:
    """A registry's HTTP interface, asked with credentials where it wants them.

    `scopes` are what tokens are asked for, such as ``repository:team/model:pull,push``.
    """

    def __init__(self, host: str, access: Access, *, scopes: tuple[str, ...]) -> None:
        self.host = host
        self._access = access
        self._scopes = scopes
        self._token: str | None = None
        scheme = "http" if access.insecure else "https"
        self._http = httpx.Client(
            base_url=f"{scheme}://{host}/v2/",
            follow_redirects=True,
            timeout=httpx.Timeout(60, connect=10),
            verify=ssl.create_default_context(cafile=access.ca) if access.ca else True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        fine: tuple[int, ...],
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request until it is answered; logs in where asked to.

        Raises
        ------
        DeniedError
            The registry refuses the login, or what it allows.
        UnavailableError
            It does not answer, or not by the specification.
        """

        def once() -> httpx.Response:
            given = {**(headers or {}), **self._authorization()}
            return self._http.request(method, path, content=content, headers=given)

        answer = self.retried(lambda: self._logged_in(once))
        if answer.status_code not in fine:
            raise self._refusal(answer)
        return answer

    @contextmanager
    def stream(self, path: str, *, start: int) -> Iterator[httpx.Response]:
        """Give an answer whose body is read as it comes, from byte `start`."""

        def once() -> httpx.Response:
            given = {"Range": f"bytes={start}-"} if start else {}
            asked = self._http.build_request(
                "GET", path, headers={**given, **self._authorization()}
            )
            return self._http.send(asked, stream=True)

        answer = self._logged_in(once)
        try:
            if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                answer.read()
                raise self._refusal(answer)
            yield answer
        finally:
            answer.close()

    def retried(self, once: Callable[[], httpx.Response]) -> httpx.Response:
        """Call until there is an answer that is no server's failure; the last one is returned."""
        for attempt in range(ATTEMPTS):
            try:
                answer = once()
            except httpx.TransportError as error:
                if attempt + 1 == ATTEMPTS or _hopeless(error):
                    raise self.unreachable(error) from None
            else:
                if attempt + 1 == ATTEMPTS or not _busy(answer):
                    return answer
            time.sleep(_PAUSE_S * 2**attempt)
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def unreachable(self, error: Exception) -> UnavailableError:
        """Return the error for a registry that does not answer."""
        return UnavailableError(
            f"the registry {self.host} does not answer: {error}",
            expected="HTTP, for [deploy] insecure is true"
            if self._access.insecure
            else "HTTPS; a registry without it needs [deploy] insecure = true",
            next_step="see that it is reached from here, and [deploy] registry in onward.toml",
        )

    def _logged_in(self, once: Callable[[], httpx.Response]) -> httpx.Response:
        """Ask; where a login is asked for, give it and ask again, once."""
        answer = once()
        if answer.status_code == httpx.codes.UNAUTHORIZED and self._login(answer):
            answer.close()
            answer = once()
        return answer

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": self._token} if self._token else {}

    def _login(self, answer: httpx.Response) -> bool:
        """Follow the challenge of a 401; return whether there is something new to try."""
        kind, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        before, password = self._token, self._access.password
        basic = httpx.BasicAuth(self._access.username, password.reveal()) if password else None
        if kind.lower() == "basic" and basic is not None:
            request = next(basic.auth_flow(httpx.Request("GET", answer.url)))
            self._token = request.headers["Authorization"]
        elif kind.lower() == "bearer":
            self._token = f"Bearer {self._fetch_token(dict(_CHALLENGE.findall(rest)), basic)}"
        return self._token != before

    def _fetch_token(self, challenge: Mapping[str, str], basic: httpx.Auth | None) -> str:
        realm = challenge.get("realm", "")
        asked: list[tuple[str, str | int | float | bool | None]] = [
            ("scope", scope) for scope in self._scopes
        ]
        if "service" in challenge:
            asked.append(("service", challenge["service"]))
        answer = self.retried(
            lambda: self._http.get(realm, params=asked, auth=basic or httpx.USE_CLIENT_DEFAULT)
        )
        if answer.status_code != httpx.codes.OK:
            raise self._refusal(answer)
        found: dict[str, Any] = answer.json()
        return str(found.get("token") or found.get("access_token") or "")

    def _refusal(self, answer: httpx.Response) -> DeniedError | NotFoundError | UnavailableError:
        said = f"{answer.status_code} {_words(answer)}".strip()
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return DeniedError(
                f"the registry {self.host} refuses: {said}",
                expected="a user who may do this",
                next_step="set [deploy] username and password in onward.toml, the latter as "
                "${secret:NAME}",
            )
        if answer.status_code == httpx.codes.NOT_FOUND:
            return NotFoundError(f"the registry {self.host} has no {answer.url.path}: {said}")
        return UnavailableError(f"the registry {self.host} answered {said} to {answer.url.path}")


def _busy(answer: httpx.Response) -> bool:
    return answer.status_code >= 500 or answer.status_code == httpx.codes.TOO_MANY_REQUESTS


def _hopeless(error: httpx.TransportError) -> bool:
    """Return whether another try would end the same: another protocol, an unknown certificate."""
    return isinstance(error, httpx.UnsupportedProtocol) or "SSL" in str(error)


def _words(answer: httpx.Response) -> str:
    try:
        found = answer.json()["errors"][0]
        return f"{found.get('code', '')}: {found.get('message', '')}"
    except (ValueError, KeyError, IndexError, TypeError):
        return answer.text[:200]
