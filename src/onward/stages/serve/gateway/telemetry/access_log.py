"""The access log: a line of JSON for each request, written in groups beside the loop.

A line says who called (the name that their token has, no address), what for, and what came of it.
Of what the request held it says nothing. Its text is put together by hand, on the loop: an encoder
costs three times as much, and a thread that works in Python makes the loop wait for longer than the
work takes. The thread only writes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from onward.stages.serve.gateway.protocol.trace_context import Trace
    from onward.stages.serve.gateway.routing.live import Target

Arms: TypeAlias = "tuple[tuple[Target, int], ...]"
"""The arms that answered, and how many rows each."""

Seen: TypeAlias = "tuple[str, str, str, Arms, int, int, int, int, int, Trace | None]"
"""A request as it went by: its id, the caller's name, its route, its arms, the status, when it had
arrived and when it was answered (on the loop's clock), the bytes of both bodies, its trace."""

_KEPT: Final = 4096
_text: Final = msgspec.json.Encoder().encode


class AccessLog:
    """Appends to a file that several processes share, and that may be moved away meanwhile.

    Parameters
    ----------
    path
        The file.
    epoch_ns
        What makes a time on the loop's clock one since the epoch, in nanoseconds.
    """

    def __init__(self, path: Path, *, epoch_ns: int) -> None:
        self._path = path
        self._epoch = epoch_ns
        self._second, self._shown = -1, ""
        self._known: dict[tuple[str, Arms], str] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._open()

    def write(self, lines: Sequence[str]) -> None:
        """Append lines, by one write."""
        if not self._same():
            os.close(self._fd)
            self._fd = self._open()
        left = memoryview("".join(lines).encode())
        while left:
            left = left[os.write(self._fd, left) :]

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def line(self, seen: Seen) -> str:
        """Return a request's line."""
        id_, who, route, arms, status, started, ended, bytes_in, bytes_out, trace = seen
        second, rest = divmod(started + self._epoch, 1_000_000_000)
        if second != self._second:
            moment = datetime.fromtimestamp(second, UTC)
            self._second, self._shown = second, f"{moment:%Y-%m-%dT%H:%M:%S}"
        about = self._known.get((who, arms))
        if about is None:
            about = self._about(who, arms)
        traced = "" if trace is None else f',"trace":"{trace.id:032x}"'
        return (
            f'{{"at":"{self._shown}.{rest // 1000:06}Z","id":"{id_}","route":"{route}",'
            f'"status":{status},"ms":{(ended - started) // 1000 / 1000},"bytes_in":{bytes_in},'
            f'"bytes_out":{bytes_out}{about}{traced}}}\n'
        )

    def _about(self, who: str, arms: Arms) -> str:
        """Return what the lines of one caller and one set of arms have in common."""
        found: dict[str, object] = {"caller": who} if who else {}
        if arms:
            found["model"] = arms[0][0].model.name
            found["versions"] = sorted({target.model.version for target, _ in arms})
            found["rows"] = sum(rows for _, rows in arms)
        about = "," + _text(found).decode()[1:-1] if found else ""
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[who, arms] = about
        return about

    def _open(self) -> int:
        return os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o640)

    def _same(self) -> bool:
        try:
            return self._path.stat().st_ino == os.fstat(self._fd).st_ino
        except FileNotFoundError:
            return False
