"""References: where in a registry an image is, ``host/name:tag@sha256:…``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from onward.core.errors import DeclarationError

_NAME: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE: Final = re.compile(
    rf"(?P<host>[^/]+)/(?P<name>{_NAME}(?:/{_NAME})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository of a registry, and a tag or a digest in it."""

    host: str
    name: str
    tag: str | None = None
    digest: str | None = None

    @property
    def version(self) -> str:
        """What is asked for: the digest, else the tag."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.name}{tag}{digest}"


def parse(text: str) -> Reference:
    """Read a reference; the registry's host is always named.

    Raises
    ------
    DeclarationError
        It is none.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None or not ({".", ":"} & set(found["host"]) or found["host"] == "localhost"):
        raise DeclarationError(
            f"{text!r} is no reference to an image",
            expected="host/name:tag or host/name@sha256:…, in lower case, with the registry's host",
        )
    return Reference(found["host"], found["name"], found["tag"], found["digest"])


def repository(registry: str, model: str) -> Reference:
    """Return the repository of a model under ``host/path``: its name, as registries allow it."""
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-") if not re.fullmatch(
        _NAME, model
    ) else model  # fmt: skip
    return parse(f"{registry.rstrip('/')}/{name}")
