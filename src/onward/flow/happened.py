"""Telling the ledger what happened, and reading records back out of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import msgspec

from onward.core.events import Event, Recorded
from onward.flow.site import Site

P = ParamSpec("P")
T = TypeVar("T")


def happened(
    site: Site,
    kind: str,
    subject: str,
    *,
    key: str,
    run: str | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    **facts: Any,
) -> Recorded:
    """Record an event now, once per (kind, key); records among the facts become plain values."""
    return site.ledger.append(
        Event(
            kind=kind,
            key=key,
            subject=subject,
            at=site.clock.now(),
            run=run,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            facts=msgspec.to_builtins(facts, enc_hook=str),
        )
    )


def fact(recorded: Recorded, name: str, kind: type[T]) -> T:
    """Read a record back from an event's facts."""
    return msgspec.convert(recorded.event.facts[name], kind, strict=False)


def timed(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """Call a function; return what it gives, and the seconds that it took by the wall."""
    began = time.perf_counter()
    found = function(*args, **kwargs)
    return found, time.perf_counter() - began
