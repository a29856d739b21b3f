"""Where heavy functions run, and where runs are tracked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Compute(Protocol):
    """Where heavy functions run: a process of its own here, a cluster elsewhere."""

    def run(self, function: Callable[..., T], /, *args: Any, name: str, **kwargs: Any) -> T:
        """Run `function` in a fresh process with fixed seeds and return what it returns.

        Function and arguments travel by value (cloudpickle), the user's module included. An
        `OnwardError` raised there is raised here; any other exception becomes one that carries
        the remote traceback's last lines.
        """
        ...

    def close(self) -> None:
        """End what is running; whoever waits for it is told that it was ended."""
        ...


class Tracker(Protocol):
    """Experiments and runs, in MLflow's terms."""

    def log_run(
        self,
        *,
        experiment: str,
        name: str,
        key: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Path | None = None,
    ) -> str:
        """Log a finished run, once per `key`; return its id."""
        ...

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Add metrics to a run that was logged before."""
        ...
