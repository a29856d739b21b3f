"""Routes: which image answers for which units, in one file per model, replaced atomically."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import xxhash

from onward.core.errors import CorruptError, DeclarationError
from onward.core.files import write_durably
from onward.core.records import Route, Routes

BUCKETS: Final = 10_000

CHAMPION: Final = "champion"
"""The arm that every other arm's units come from."""

Spans: TypeAlias = tuple[tuple[int, int], ...]
"""Buckets as ranges, ``low <= b < high``."""


def write_routes(folder: Path, routes: Routes) -> str:
    """Replace the model's routes file and return its version, which ``GET /routes`` shows.

    A file that says so already is left alone.

    Raises
    ------
    DeclarationError
        The shares do not add up to 100 %, an arm is there twice, or a bucket is not in one arm.
    """
    _require_whole(routes)
    folder.mkdir(parents=True, exist_ok=True)
    data = msgspec.json.encode(routes, order="deterministic")
    path = folder / f"{routes.model}.json"
    if path.exists() and path.read_bytes() == data:
        return version_of(data)
    write_durably(path, data)
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
    if len(set(arms)) != len(arms) or CHAMPION not in arms or abs(total - 100) > 1e-6:
        shares = ", ".join(f"{r.arm} {r.percent:g} %" for r in routes.routes)
        raise DeclarationError(
            f"the routes of {routes.model!r} are {shares or '(none)'}",
            expected="one champion, each other arm once, 100 % in all",
        )
    owners(routes.routes)


def bucket(salt: str, unit: str) -> int:
    """Return the unit's bucket, 0 to 9,999: always the same for the same salt."""
    return xxhash.xxh64_intdigest(f"{salt}\x1f{unit}".encode()) % BUCKETS


def owners(routes: Sequence[Route]) -> list[int]:
    """Return, for each bucket, the position of the route that has it.

    Raises
    ------
    DeclarationError
        A bucket is in no route, or in two.
    """
    spans = {route.arm: route.buckets for route in routes}
    if not any(spans.values()):
        spans = allot({}, {route.arm: route.percent for route in routes})
    found = [-1] * BUCKETS
    for position, route in enumerate(routes):
        for low, high in spans[route.arm]:
            for each in range(low, high):
                if found[each] >= 0:
                    raise DeclarationError(f"bucket {each} is in two arms")
                found[each] = position
    if -1 in found:
        raise DeclarationError(f"bucket {found.index(-1)} is in no arm")
    return found


def allot(before: Mapping[str, Spans], shares: Mapping[str, float]) -> dict[str, Spans]:
    """Return the buckets of each arm for `shares` in percent, given those they had `before`.

    A unit leaves only an arm whose share falls, for one whose share grows: between a champion and
    candidates that grow, units only go from the champion to a candidate. Shares are rounded to
    whole buckets, of 0.01 %; what rounding leaves is the champion's.
    """
    wanted = _whole(shares)
    had = {arm: _each(before.get(arm, ())) for arm in shares}
    taken = {each for buckets in had.values() for each in buckets}
    had[CHAMPION] += [each for each in range(BUCKETS) if each not in taken]
    free: list[int] = []
    for arm, buckets in had.items():
        buckets.sort(reverse=arm != CHAMPION)
        while len(buckets) > wanted[arm]:
            free.append(buckets.pop())
    free.sort()
    for arm in sorted(had, key=lambda arm: arm == CHAMPION):
        while len(had[arm]) < wanted[arm]:
            had[arm].append(free.pop())
    return {arm: _spans(buckets) for arm, buckets in had.items()}


def _whole(shares: Mapping[str, float]) -> dict[str, int]:
    counts = {arm: round(percent * BUCKETS / 100) for arm, percent in shares.items()}
    counts[CHAMPION] = 0
    left = BUCKETS - sum(counts.values())
    for arm in sorted(counts, key=counts.__getitem__, reverse=True):
        if left < 0:  # every arm was rounded up, and the champion has nothing to give
            counts[arm] -= 1
            left += 1
    counts[CHAMPION] = left
    return counts


def _each(spans: Spans) -> list[int]:
    return [each for low, high in spans for each in range(low, high)]


def _spans(buckets: Iterable[int]) -> Spans:
    found: list[tuple[int, int]] = []
    for each in sorted(buckets):
        if found and found[-1][1] == each:
            found[-1] = (found[-1][0], each + 1)
        else:
            found.append((each, each + 1))
    return tuple(found)
