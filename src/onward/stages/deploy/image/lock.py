"""The lock: every distribution that the gateway needs to serve a model, by exact version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Final

from onward.core.errors import DataError, DeclarationError

GATEWAY: Final = (
    "cloudpickle", "cryptography", "filelock", "httptools", "msgspec", "numpy", "pandas",
    "prometheus-client", "threadpoolctl", "uvloop", "xxhash",
)  # fmt: skip
"""What the gateway imports, at the versions that are installed here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Exact versions by normalised name, and the interpreter they are for, such as ``3.11``."""

    python: str
    pins: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """One requirement a line."""
        return "".join(f"{name}=={version}\n" for name, version in sorted(self.pins.items()))

    @property
    def digest(self) -> str:
        """A digest of the pins and the interpreter."""
        found = hashlib.sha256(f"{self.python}\n{self.text}".encode()).hexdigest()
        return f"sha256:{found}"


def lock(trained: Path, *, extras: Iterable[str] = ()) -> Lock:
    """Return what the model was fitted with and what the gateway needs, with all they require.

    Recorded versions come first; what was not recorded is taken as it is installed here.

    Raises
    ------
    DataError
        The trained folder has no readable record of its environment.
    DeclarationError
        Something that is needed is neither recorded nor installed.
    """
    try:
        recorded = json.loads((trained / "environment.json").read_bytes())
        versions = {normal(n): v for n, v in recorded["distributions"].items()}
        python = ".".join(recorded["python"].split(".")[:2])
    except (OSError, ValueError, KeyError, AttributeError):
        raise DataError(
            f"{trained / 'environment.json'} does not say what the model was fitted with",
            expected="the interpreter's version and the distributions",
            next_step="train again: `onward run --force`",
        ) from None
    pins: dict[str, str] = {}
    waiting = [*versions, *map(normal, GATEWAY), *map(normal, extras)]
    while waiting:
        name = waiting.pop()
        if name not in pins and name != "onward":
            pins[name] = versions.get(name) or _installed(name)
            waiting += _requires(name)
    return Lock(python=python, pins=pins)


def normal(name: str) -> str:
    """Return a distribution's name as PEP 503 writes it."""
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(name))


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise DeclarationError(
            f"the image needs {name}, which is neither recorded with the model nor installed here",
            next_step=f"install {name}, and build the image again",
        ) from None


def _requires(name: str) -> list[str]:
    """Return what an installed distribution requires on this platform, without extras."""
    from packaging.requirements import Requirement

    try:
        asked = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    needed = [Requirement(text) for text in asked]
    return [normal(r.name) for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
