"""The outbox: the ledger's events go out once each, however often either end fails."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from onward.core.errors import CorruptError
from onward.core.files import write_whole
from onward.core.ports import Ledger
from onward.watch.lineage.port import Outlet

_AT_ONCE: Final = 200


def catch_up(ledger: Ledger, outlet: Outlet, mark: Path) -> int:
    """Send every event past the mark, and move the mark; return how many were sent.

    `mark` is a file that holds the last sequence number sent. It moves after each send, so a crash
    between the two sends some events again, and none is left out.

    Raises
    ------
    CorruptError
        The mark is no number.
    OnwardError
        The outlet refused; what it took before stays sent.
    """
    sent, after = 0, _read(mark)
    while events := ledger.events(after=after, limit=_AT_ONCE):
        outlet.send(events)
        after = events[-1].seq
        _write(mark, after)
        sent += len(events)
    return sent


def _read(mark: Path) -> int:
    try:
        text = mark.read_text()
        return int(text)
    except FileNotFoundError:
        return 0
    except ValueError:
        raise CorruptError(
            f"{mark} says {text!r}",
            expected="the sequence number of the last event that was sent",
            next_step="remove the file: every event is sent again, which changes nothing",
        ) from None


def _write(mark: Path, seq: int) -> None:
    mark.parent.mkdir(parents=True, exist_ok=True)
    write_whole(mark, f"{seq}\n".encode())
