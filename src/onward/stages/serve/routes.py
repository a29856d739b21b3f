"""Routes: which image answers for which units, in one file per model, replaced atomically."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import xxhash

from onward.core.errors import CorruptError, DeclarationError
from onward.core.records import Route, Routes

BUCKETS: Final = 10_000


def write_routes(folder: Path, routes: Routes) -> str:
    """Replace the model's routes file and return its version, which ``GET /routes`` shows.

    Raises
    ------
    DeclarationError
        The shares do not add up to 100 %, or an arm is there twice.
    """
    _require_whole(routes)
    folder.mkdir(parents=True, exist_ok=True)
    data = msgspec.json.encode(routes, order="deterministic")
    path = folder / f"{routes.model}.json"
    scratch = folder / f".{routes.model}.{os.getpid()}"
    with scratch.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    return version_of(data)


def read_routes(path: Path) -> tuple[Routes, str]:
    """Read a routes file: the routes, and the file's version.

    Raises
    ------
    CorruptError
        The file cannot be read as routes.
    """
    try:
        data = path.read_bytes()
        routes = msgspec.json.decode(data, type=Routes)
        _require_whole(routes)
    except (OSError, msgspec.DecodeError, DeclarationError) as error:
        raise CorruptError(
            f"{path} is no routes file: {error}",
            expected="what `write_routes` wrote",
            next_step="`onward rollback`, or the release's next step, writes it anew",
        ) from None
    return routes, version_of(data)


def version_of(data: bytes) -> str:
    """Return the version of a routes file's content: 16 hex digits."""
    return xxhash.xxh64_hexdigest(data)


def _require_whole(routes: Routes) -> None:
    arms = [route.arm for route in routes.routes]
    total = sum(route.percent for route in routes.routes)
    if len(set(arms)) != len(arms) or "champion" not in arms or abs(total - 100) > 1e-6:
        shares = ", ".join(f"{r.arm} {r.percent:g} %" for r in routes.routes)
        raise DeclarationError(
            f"the routes of {routes.model!r} are {shares or '(none)'}",
            expected="one champion, at most one candidate, 100 % in all",
        )


def bucket(salt: str, unit: str) -> int:
    """Return the unit's bucket, 0 to 9,999: always the same for the same salt."""
    return xxhash.xxh64_intdigest(f"{salt}\x1f{unit}".encode()) % BUCKETS


def thresholds(routes: Sequence[Route]) -> list[tuple[int, Route]]:
    """Return each arm with the bucket that it ends before, the champion first.

    The candidate has the highest buckets: when its share grows, units move from champion to
    candidate and never back.
    """
    ordered = sorted(routes, key=lambda route: route.arm != "champion")
    found, percent = [], 0.0
    for route in ordered:
        percent += route.percent
        found.append((round(percent * BUCKETS / 100), route))
    return found
