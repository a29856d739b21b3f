"""URLs that may hold a password: what may be shown of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

HIDDEN: Final = "***"

_USER: Final = re.compile(r"(?<=://)([^/?#@:]*):([^/?#]*)@")
_QUERY: Final = re.compile(
    r"([?&][^=&#]*(?:password|passwd|pwd|secret|token|key|signature|sig)[^=&#]*=)([^&#]+)",
    re.IGNORECASE,
)
_PLACEHOLDER: Final = re.compile(r"\$\{[^}]*\}")


def filled(url: str, fill: Callable[[str], str]) -> str:
    """Return a URL with its placeholders filled in, percent-encoded where they stand for a user or
    a password: an ``@`` in a secret does not end it.
    """
    scheme, separator, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    if not at:
        return fill(url)
    encoded = _PLACEHOLDER.sub(lambda found: quote(fill(found[0]), safe=""), user)
    return f"{fill(scheme)}{separator}{encoded}{at}{fill(place)}"


def backend_of(url: str) -> str:
    """Return what a URL's scheme names, without a driver: ``postgresql`` of
    ``postgresql+psycopg://…``; empty if it has none.
    """
    scheme, separator, _ = url.partition("://")
    return scheme.partition("+")[0].lower() if separator else ""


def shown(url: str) -> str:
    """Return a URL with its password, and what looks like one in its query, hidden."""
    return _QUERY.sub(rf"\1{HIDDEN}", _USER.sub(rf"\1:{HIDDEN}@", url))


def without_secrets(text: str, url: str) -> str:
    """Return a text, such as a driver's error, in which the URL's secrets are hidden."""
    text = text.replace(url, shown(url))
    found = [found for pattern in (_USER, _QUERY) for _, found in pattern.findall(url)]
    for secret in sorted({*found, *map(unquote, found)} - {""}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
