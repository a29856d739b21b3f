"""Durable workflows and their steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Steps(Protocol):
    """What a durable workflow's body is given: steps whose results outlive a crash."""

    def __call__(self, name: str, function: Callable[..., T], /, *args: Any) -> T:
        """Run `function` unless this step has a recorded result, then return that."""
        ...


class Workflows(Protocol):
    """Durable workflows, one at a time."""

    def run(self, workflow_id: str, *args: Any) -> Any:
        """Run the body to its end; the same id resumes or returns the recorded result.

        An id that failed goes on with the step that raised.
        """
        ...

    def pending(self) -> Sequence[str]:
        """Return the ids of workflows that were begun and cut short, oldest first."""
        ...

    def close(self) -> None: ...
