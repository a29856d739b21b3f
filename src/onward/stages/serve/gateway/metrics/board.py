"""What each worker of a gateway tells of itself, for all of them to read: one small file each.

Whoever is asked for ``/metrics``, ``/routes`` or readiness answers for all. A worker's file is at
most `EVERY_S` old; what it has itself answered with is in it already, so that no counter is ever
seen to go back. What a worker that ended had counted is kept by the supervisor (`Retired`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from onward.core.files import write_whole
from onward.stages.serve.gateway.metrics.counters import FAMILIES, Samples
from onward.stages.serve.gateway.words import say

T = TypeVar("T")

FOLDER: Final = "workers"
EVERY_S: Final = 0.5
_RETIRED: Final = "retired"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A worker, as it last told of itself.

    `id` is of this life of it; `slot` is its place among the workers; `since` is in seconds since
    the epoch; `routes` are as ``GET /routes`` shows them.
    """

    id: str
    slot: int
    pid: int
    since: float
    state: Literal["starting", "ready", "draining"]
    routes: dict[str, Any]
    samples: Samples


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """What workers that have ended had counted, and how often each slot was filled again."""

    ids: list[str] = []
    samples: Samples = {}
    restarts: dict[int, int] = {}


class Board:
    """The files of one gateway's workers, in a folder of its state."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER
        self._garbled: set[str] = set()

    def clear(self) -> None:
        """Forget what another life of the gateway left."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for file in self._folder.iterdir():
            file.unlink(missing_ok=True)

    def tell(self, told: Told) -> None:
        """Put a worker's word on the board, in the place of the one before."""
        self._write(told.id, msgspec.msgpack.encode(told))

    def retire(self, retired: Retired) -> None:
        """Keep what ended workers counted, and take down the last one's own word."""
        self._write(_RETIRED, msgspec.msgpack.encode(retired))
        (self._folder / retired.ids[-1]).unlink(missing_ok=True)

    def find(self, id: str) -> Told | None:
        """Return a worker's last word, None if it never had one, or one that nobody understands."""
        return self._found(id, Told)

    def read(self) -> tuple[list[Told], Retired]:
        """Return every worker's last word by slot, and what is retired: nobody is in both."""
        names = sorted(p.name for p in self._folder.glob("*") if not p.name.startswith("."))
        found = [told for name in names if name != _RETIRED and (told := self.find(name))]
        retired = self.retired()  # after the words: who retires meanwhile is counted once
        workers = [told for told in found if told.id not in retired.ids]
        return sorted(workers, key=lambda told: (told.slot, told.since)), retired

    def retired(self) -> Retired:
        """Return what is retired."""
        return self._found(_RETIRED, Retired) or Retired()

    def _found(self, name: str, kind: type[T]) -> T | None:
        """Return what a file says. One that nobody understands counts for nothing: that is told.

        Files are put in place whole, so a disk or a foreign hand garbled it. A worker's word is
        written again in `EVERY_S`; what was retired is lost, and counters begin anew.
        """
        try:
            found = msgspec.msgpack.decode((self._folder / name).read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            if name not in self._garbled:
                say(f"{self._folder / name} is garbled, what it counted is left out: {error}")
            self._garbled.add(name)
            return None
        self._garbled.discard(name)
        return found

    def _write(self, name: str, data: bytes) -> None:
        write_whole(self._folder / name, data)


def lasting(samples: Samples) -> Samples:
    """Return what stays true of a worker that has ended: what it counted, not how it stood."""
    kept = {family.name for family in FAMILIES if family.kind != "gauge"}
    return {name: found for name, found in samples.items() if name in kept}


def agreed(routes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the routes that workers show as one: a model's version is None while they differ.

    A model that one of them refuses is refused, with its reason.
    """
    shown: dict[str, Any] = {}
    for each in routes:
        for model, own in each.items():
            known = shown.setdefault(model, own)
            if known["version"] != own["version"]:
                known = shown[model] = {**known, "version": None}
            if own["refused"] and not known["refused"]:
                refused = {name: own[name] for name in ("refused", "refused_version")}
                shown[model] = {**known, **refused}
    return shown
