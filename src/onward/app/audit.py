"""The state of the ledger: whether its chain holds, and what it told last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainState:
    """A ledger whose every hash was checked: how many events, and the newest, None without any.

    `head` is the hash over all of them (hex): whoever notes it can tell later whether they stand.
    """

    events: int
    head: str | None
    newest: str | None
    subject: str | None
    at: datetime | None


def chain(project: Project) -> ChainState:
    """Check the whole ledger and return how it stands.

    Raises
    ------
    CorruptError
        An event was altered, removed, or cut off the end.
    """
    events = project.ledger.verify()
    found = project.ledger.events(newest_first=True, limit=1)
    last = found[0] if found else None
    return ChainState(
        events=events,
        head=last.hash if last else None,
        newest=last.event.kind if last else None,
        subject=last.event.subject if last else None,
        at=last.event.at if last else None,
    )
