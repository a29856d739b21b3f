"""What a user declares about serving and releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from onward.core.clock import duration
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location, unknown_name


@dataclass(frozen=True, slots=True, init=False)
class Serving:
    """How the model is served, whichever version it is. What is not said, `onward.toml` says.

    Parameters
    ----------
    log
        What a logged prediction survives. ``"fast"``: it is written before the answer leaves, so
        that a crash of the process loses none; a crash of the machine loses the answers of
        ``[gateway] log_bound`` at most. ``"strict"``: it is on the disk before the answer leaves,
        and nothing is lost; flushes are shared by all answers that wait.
    on_log_failure
        What becomes of a prediction that cannot be logged, the disk being full for one:
        ``"refuse"`` answers 503, ``"serve"`` answers it and says that it is not logged.
    """

    log: Literal["fast", "strict"] | None
    on_log_failure: Literal["refuse", "serve"] | None
    location: Location | None = field(compare=False)

    def __init__(
        self,
        *,
        log: Literal["fast", "strict"] | None = None,
        on_log_failure: Literal["refuse", "serve"] | None = None,
    ) -> None:
        location = here()
        _known("guarantee", log, ("fast", "strict"), location)
        _known("policy", on_log_failure, ("refuse", "serve"), location)
        set_ = object.__setattr__
        set_(self, "log", log)
        set_(self, "on_log_failure", on_log_failure)
        set_(self, "location", location)


def _known(kind: str, name: str | None, known: Sequence[str], location: Location | None) -> None:
    if name is not None and name not in known:
        what, expected = unknown_name(kind, name, known)
        raise DeclarationError(what, expected=expected, location=location)


@dataclass(frozen=True, slots=True, init=False)
class Canary:
    """A release in steps, each judged by anytime-valid confidence sequences.

    Parameters
    ----------
    steps
        Percent of units that the candidate gets, step by step; 100 follows the last.
    bake
        How long each step lasts at least.
    minimum
        How many predictions the candidate must have answered in a step at least.
    deadline
        After this long without a verdict the champion takes everything again.
    alpha
        The chance of a wrong verdict over the whole release, shared out over the guardrails.
    max_error_increase
        Tolerated rise of the error rate, as a difference of shares.
    max_latency_increase
        Tolerated rise of the mean latency, as a share of the champion's.
    max_loss_increase
        Tolerated rise of the mean loss per labelled prediction (squared error of the
        probability, or of the value over the champion's variance); None judges without labels.
    """

    steps: tuple[float, ...]
    bake: timedelta
    minimum: int
    deadline: timedelta
    alpha: float
    max_error_increase: float
    max_latency_increase: float
    max_loss_increase: float | None
    location: Location | None = field(compare=False)

    def __init__(
        self,
        *,
        steps: Sequence[float] = (5, 25, 50),
        bake: str | timedelta = "1h",
        minimum: int = 500,
        deadline: str | timedelta = "14d",
        alpha: float = 0.05,
        max_error_increase: float = 0.01,
        max_latency_increase: float = 1.0,
        max_loss_increase: float | None = 0.02,
    ) -> None:
        location = here()
        steps = tuple(steps)
        if not steps or list(steps) != sorted(set(steps)) or steps[0] <= 0 or steps[-1] > 100:
            raise DeclarationError(
                f"the canary's steps are {list(steps)}",
                expected="rising percentages above 0 and up to 100, such as [5, 25, 50]",
                location=location,
            )
        if not 0 < alpha < 0.5:
            raise DeclarationError(
                f"alpha is {alpha}", expected="between 0 and 0.5", location=location
            )
        set_ = object.__setattr__
        set_(self, "steps", tuple(s for s in steps if s < 100))
        set_(self, "bake", duration(bake, location))
        set_(self, "minimum", minimum)
        set_(self, "deadline", duration(deadline, location))
        set_(self, "alpha", alpha)
        set_(self, "max_error_increase", max_error_increase)
        set_(self, "max_latency_increase", max_latency_increase)
        set_(self, "max_loss_increase", max_loss_increase)
        set_(self, "location", location)
