"""Events: what happened, told once, for whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    Parameters
    ----------
    kind
        ``noun.past-participle``: ``batch.published``, ``model.registered``, ``release.promoted``.
    key
        Unique within `kind`: telling the same event twice leaves one. Usually (run, stage, input).
    subject
        The ref or name that the event is about.
    at
        When, by the injected clock.
    run
        The run it belongs to, if any.
    inputs, outputs
        Refs that went in and came out: the edges of the lineage graph.
    facts
        What else is worth keeping, as plain JSON values.
    """

    kind: str
    key: str
    subject: str
    at: datetime
    run: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event in the ledger: its place in the sequence, and the chain's hash up to it (hex)."""

    seq: int
    event: Event
    hash: str


Listener = Callable[[Event], None]
