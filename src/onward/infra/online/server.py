"""What the stores on servers have in common: an address to show, and an error when it is silent."""

from __future__ import annotations

from urllib.parse import urlsplit

from onward.core.errors import UnavailableError
from onward.core.redaction import without_values


def shown(url: str) -> str:
    """Return a URL as people may see it: without user, password and options."""
    parts = urlsplit(url)
    place = parts.hostname or parts.path
    port = f":{parts.port}" if parts.port else ""
    path = parts.path if parts.hostname and parts.path != "/" else ""
    return f"{parts.scheme}://{place}{port}{path}"


def unavailable(url: str, error: Exception) -> UnavailableError:
    """Return the error for a server that does not answer, with the reason in its own words."""
    reason = (without_values(str(error).strip()) or type(error).__name__).splitlines()[0]
    return UnavailableError(
        f"the online store {shown(url)} does not answer: {reason}",
        expected="a server that is up, and a login that it takes",
        next_step="start it, or mend `[online] url`; then `onward features materialize` brings it"
        " up to date",
    )
