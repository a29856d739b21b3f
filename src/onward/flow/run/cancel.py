"""Cancelling: a run that nobody wants any more ends before its next step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from onward.core.errors import OnwardError
from onward.core.ports import Ledger, Steps
from onward.flow.happened import happened
from onward.flow.site import Site

T = TypeVar("T")


class CancelledError(OnwardError):
    """Somebody cancelled the run."""


def cancel(site: Site, model: str, run: str, *, by: str) -> None:
    """Tell whoever carries out a run, or is about to, to leave it."""
    happened(site, "run.cancelled", model, key=run, run=run, by=by)


def cancelled(ledger: Ledger, run: str) -> str | None:
    """Return who cancelled a run; None if nobody did."""
    found = ledger.events(kind="run.cancelled", run=run, limit=1)
    return str(found[0].event.facts["by"]) if found else None


def unless_cancelled(steps: Steps, ledger: Ledger, run: str) -> Steps:
    """Wrap a run's steps: none begins once it is cancelled, and what one died of is no failure.

    Raises
    ------
    CancelledError
        Instead of a step.
    """

    def require_wanted() -> None:
        by = cancelled(ledger, run)
        if by is not None:
            raise CancelledError(f"cancelled by {by}")

    def step(name: str, function: Callable[..., T], /, *args: Any) -> T:
        require_wanted()
        try:
            return steps(name, function, *args)
        except OnwardError:
            require_wanted()
            raise

    return step
