"""What a user declares about APIs: REST, and any source or resource of dlt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Final

from onward.core.clock import duration
from onward.core.declared import here
from onward.core.errors import DeclarationError, unknown_name

PAGINATION: Final = (
    "auto", "single_page", "json_link", "header_link", "header_cursor", "cursor", "offset",
    "page_number",
)  # fmt: skip
"""How an API's pages follow each other, in dlt's words."""

AUTH: Final = ("bearer", "api_key", "http_basic", "oauth2_client_credentials")
"""How a request says who asks, in dlt's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """The records of a REST endpoint; made by `http`, which says what the fields mean."""

    kind: ClassVar[str] = "http"
    url: str
    records: str | None
    params: Mapping[str, Any]
    headers: Mapping[str, str] = field(repr=False, compare=False)
    auth: Mapping[str, Any] | None = field(repr=False, compare=False)
    pagination: str | Mapping[str, Any]
    cursor: str | None
    since: str | None
    start: Any
    attempts: int
    every: timedelta = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dlt:
    """A source or resource of dlt; made by `dlt`, which says what the fields mean."""

    kind: ClassVar[str] = "dlt"
    name: str
    resource: str | None
    every: timedelta = field(compare=False)
    of: Any = field(repr=False, compare=False)


def http(
    url: str,
    *,
    records: str | None = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: Mapping[str, Any] | None = None,
    pagination: str | Mapping[str, Any] = "auto",
    cursor: str | None = None,
    since: str | None = None,
    start: Any = None,
    attempts: int = 5,
    every: str | timedelta = "1m",
) -> Http:
    """Read the records of a REST endpoint, page by page, those past the cursor.

    Pages, authentication, rate limits and retries are dlt's: a request that is answered with 429 or
    5xx is made again, when ``Retry-After`` says or after a growing pause, up to `attempts` times.

    Parameters
    ----------
    url
        The endpoint.
    records
        JSONPath of the list of records in an answer, such as ``data.items``; found unless given.
    params, headers
        Of each request; what is secret in a header is written as ``${env:NAME}``.
    auth
        ``{"type": "bearer", "token": …}``, or one of dlt's others (`AUTH`) with its fields. A token
        that is refused before its time is asked for anew, where it was asked for at all.
    pagination
        One of `PAGINATION`, or a mapping with it as ``type`` and dlt's fields for it; found from
        the first answer unless given.
    cursor
        A record's field that only grows. Without one the table is what the endpoint gives now.
    since, start
        The query parameter that takes the cursor's last value, and its value at first.
    every
        How often to look, at most, while something waits for new rows.
    """
    location = here()
    kind = pagination if isinstance(pagination, str) else pagination.get("type", "auto")
    for what, given, known in (
        ("pagination", kind, PAGINATION),
        ("auth", (auth or {}).get("type", "bearer"), AUTH),
    ):
        if given not in known:
            said, expected = unknown_name(f"kind of {what}", str(given), known)
            raise DeclarationError(said, expected=expected, location=location)
    if since is not None and cursor is None:
        raise DeclarationError(
            f"parameter {since!r} of {url} is to take a cursor, and there is none",
            expected="cursor=...: the field of a record that only grows",
            location=location,
        )
    return Http(
        url=url,
        records=records,
        params=dict(params or {}),
        headers=dict(headers or {}),
        auth=None if auth is None else dict(auth),
        pagination=pagination if isinstance(pagination, str) else dict(pagination),
        cursor=cursor,
        since=since,
        start=start,
        attempts=attempts,
        every=duration(every, location),
    )


def dlt(of: Any, *, resource: str | None = None, every: str | timedelta = "1m") -> Dlt:
    """Read a source or a resource of dlt as it is; what it remembers commits with its rows.

    Its write disposition says how rows join the table: ``append`` adds them, ``merge`` puts them in
    the place of rows with the source's key, ``replace`` makes them the table. A pass that gives
    what the last one gave, without remembering anything, is passed over.

    Parameters
    ----------
    of
        A ``DltSource``, a ``DltResource``, or a function without arguments that returns one.
    resource
        The resource of a source that is read; needed where it has several.
    every
        How often to look, at most, while something waits for new rows.
    """
    name = getattr(of, "name", None) or getattr(of, "__name__", None) or type(of).__name__
    return Dlt(name=name, resource=resource, every=duration(every, here()), of=of)
