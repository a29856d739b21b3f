"""What a model registry must do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from onward.core.records import EvaluationReport, ModelRef, RunRef


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """A version as a list shows it. `aliases` are among ``champion`` and ``challenger``,
    `metrics` the values at evaluation by name.
    """

    model: ModelRef
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]
    created_at: datetime
    run: str
    commit: str | None

    @property
    def version(self) -> int:
        return self.model.version


class ModelRegistry(Protocol):
    """Versions of models, and which of them is the champion. Safe to repeat after a crash."""

    def add(
        self, trained: RunRef, report: EvaluationReport, *, cards: Path, run: str, at: datetime
    ) -> ModelRef:
        """Register the next version and call it the challenger, once per (model, run).

        `cards` is the folder where the version's card will be; `at` is when it was registered.
        """
        ...

    def champion(self, name: str) -> ModelRef | None:
        """Return the version that is in production, None if there is none."""
        ...

    def promote(self, model: ModelRef) -> None:
        """Make a version the champion; it is no challenger any more.

        Raises
        ------
        NotFoundError
            There is no such version.
        """
        ...

    def get(self, name: str, version: int) -> ModelRef:
        """Return a version.

        Raises
        ------
        NotFoundError
            There is no such model, or no such version of it.
        """
        ...

    def versions(self, name: str) -> Sequence[RegisteredVersion]:
        """Return a model's versions, newest first; none for a name not known yet."""
        ...
