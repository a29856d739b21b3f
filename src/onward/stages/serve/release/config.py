"""What a user declares about releases: strategies, and what they are guarded by."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from onward.core.clock import duration
from onward.core.declared import here
from onward.core.errors import Location
from onward.stages.serve.audience import parsed
from onward.stages.serve.release.declared import require, require_numbers

SHADOW: Final = "shadow"
"""The arm of a candidate whose answers nobody gets."""

SMALLEST: Final = 30
"""Units per arm below which a comparison is left out: the sequences are asymptotic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrails:
    """What a candidate may cost at most, each judged by an anytime-valid confidence sequence.

    Parameters
    ----------
    alpha
        The chance of a wrong verdict over the whole of a strategy, shared out over the guardrails
        and the arms. Of several strategies each has its own.
    max_error_increase
        Tolerated rise of the error rate, as a difference of shares.
    max_latency_increase
        Tolerated rise of the mean latency, as a share of the champion's.
    max_loss_increase
        Tolerated rise of the mean loss per labelled prediction (squared error of the
        probability, or of the value over the labels' variance); None judges without labels.
    max_reward_drop
        Tolerated fall of the mean reward per prediction that has one, in the reward's own unit;
        None judges without rewards.
    max_shift
        Tolerated distance of the predictions' distribution from the champion's, 0 to 1
        (Kolmogorov-Smirnov); None lets predictions be what they are.
    """

    alpha: float = 0.05
    max_error_increase: float | None = 0.01
    max_latency_increase: float | None = 1.0
    max_loss_increase: float | None = 0.02
    max_reward_drop: float | None = None
    max_shift: float | None = None
    location: Location | None = field(default_factory=here, compare=False)

    def __post_init__(self) -> None:
        require_numbers(self.location, alpha=self.alpha, **self.limits)
        require(0 < self.alpha < 0.5, f"alpha is {self.alpha}", "between 0 and 0.5", self.location)
        for name, limit in self.limits.items():
            require(limit >= 0, f"the limit on {name} is {limit}", "0 or more", self.location)
        require(
            bool(self.limits),
            "the release has no guardrail",
            "at least one limit, such as max_error_increase=0.01",
            self.location,
        )

    @property
    def limits(self) -> Mapping[str, float]:
        """The declared limits, by what they guard."""
        named = {
            "error rate": self.max_error_increase,
            "latency": self.max_latency_increase,
            "loss": self.max_loss_increase,
            "reward": self.max_reward_drop,
            "predictions": self.max_shift,
        }
        return {name: limit for name, limit in named.items() if limit is not None}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a strategy: the percent of each arm beside the champion, and its least time."""

    shares: Mapping[str, float]
    bake: timedelta


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """What every strategy has.

    Parameters
    ----------
    minimum
        How many predictions an arm must have answered in a step at least.
    deadline
        After this long without a verdict the champion takes everything again.
    guardrails
        What the candidate may cost.
    audience
        Whom it is for: an expression on the request's columns, ``country == "NL"``. Others get
        the champion and are not compared. None is for everybody.
    """

    minimum: int = 500
    deadline: str | timedelta = "14d"
    guardrails: Guardrails = field(default_factory=Guardrails)
    audience: str | None = None
    location: Location | None = field(default_factory=here, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "deadline", duration(self.deadline, self.location))
        require(
            isinstance(self.guardrails, Guardrails), f"guardrails is {self.guardrails!r}",
            "ow.Guardrails(...)", self.location,
        )  # fmt: skip
        require_numbers(self.location, minimum=self.minimum)
        if self.audience is not None:
            parsed(self.audience, self.location)
        require(
            self.minimum >= SMALLEST, f"minimum is {self.minimum}", f"{SMALLEST} or more: fewer "
            "answers say nothing", self.location,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The strategy as a person calls it."""
        return type(self).__name__.lower()

    @property
    @abstractmethod
    def plan(self) -> tuple[Step, ...]:
        """The steps, in order; what follows the last is the next strategy, or promotion."""

    @property
    def lasts(self) -> timedelta:
        """The deadline."""
        return duration(self.deadline)


@dataclass(frozen=True, kw_only=True)
class Canary(Strategy):
    """A release in growing steps, each shown to be harmless before the next.

    Parameters
    ----------
    steps
        Percent of units that the candidate gets, step by step; or one number, by which its share
        grows. 100 follows the last.
    maximum
        The last step's percent, whatever the growth: ``steps=15, maximum=50`` is 15, 30, 45, 50.
        Listed steps beyond it are refused.
    bake
        How long each step lasts at least.
    """

    steps: Sequence[float] | float = (5, 25, 50)
    maximum: float = 100
    bake: str | timedelta = "1h"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.steps
        listed = tuple(given) if isinstance(given, Iterable) else (given,)
        for step in listed:
            require_numbers(self.location, **{"a step of the canary": step})
        require_numbers(self.location, maximum=self.maximum)
        require(
            0 < self.maximum <= 100, f"the canary's maximum is {self.maximum}",
            "a percentage above 0 and up to 100", self.location,
        )  # fmt: skip
        steps = (
            _growing(given, self.maximum, self.location)
            if isinstance(given, (int, float))
            else listed
        )
        require(
            bool(steps) and list(steps) == sorted(set(steps)) and steps[0] > 0 and steps[-1] <= 100,
            f"the canary's steps are {given if isinstance(given, (int, float)) else list(given)}",
            "rising percentages above 0 and up to 100, such as [5, 25, 50]",
            self.location,
        )
        require(
            self.maximum == 100 or steps[-1] <= self.maximum,
            f"the canary's step of {steps[-1]:g} % is beyond its maximum of {self.maximum:g} %",
            "steps up to the maximum; or one number, by which the share grows up to it",
            self.location,
        )
        object.__setattr__(self, "steps", tuple(s for s in steps if s < 100))
        object.__setattr__(self, "bake", duration(self.bake, self.location))

    @property
    def plan(self) -> tuple[Step, ...]:
        """The candidate's share, step by step."""
        assert isinstance(self.steps, tuple)
        return tuple(Step({"candidate": percent}, duration(self.bake)) for percent in self.steps)


def _growing(by: float, maximum: float, location: Location | None) -> tuple[float, ...]:
    require(0 < by <= 100, f"the canary grows by {by}", "a percentage above 0", location)
    full = math.ceil(maximum / by - 1e-9)
    return (*(by * n for n in range(1, full)), maximum)


@dataclass(frozen=True, kw_only=True)
class Shadow(Strategy):
    """A copy of the champion's requests, answered beside and never sent.

    The candidate is judged on the same rows as the champion: errors, loss and predictions.
    Latency and reward are not: nobody waits for a shadow, or acts on it. Alone, it ends in
    promotion; more often a canary follows: ``[ow.Shadow(), ow.Canary()]``.

    Parameters
    ----------
    bake
        How long it lasts at least.
    """

    bake: str | timedelta = "1h"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "bake", duration(self.bake, self.location))

    @property
    def plan(self) -> tuple[Step, ...]:
        """One step, in which the candidate's arm is `SHADOW` and has no share."""
        return (Step({SHADOW: 0.0}, duration(self.bake)),)


@dataclass(frozen=True, kw_only=True)
class BlueGreen(Strategy):
    """Everything at once: the candidate is warmed, takes all, and the champion stays warm.

    What came before the switch is compared with what came after: time may explain a difference,
    so harm takes the candidate back, and no harm shown is enough to promote it.

    Parameters
    ----------
    warm
        How long the candidate is loaded, and asked only by testers, before it takes over.
    keep
        How long the champion is kept warm, to take everything back at once.
    """

    warm: str | timedelta = "10m"
    keep: str | timedelta = "1h"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "warm", duration(self.warm, self.location))
        object.__setattr__(self, "keep", duration(self.keep, self.location))

    @property
    def name(self) -> str:
        return "blue-green"

    @property
    def plan(self) -> tuple[Step, ...]:
        """Loaded without a share; then everything."""
        return (
            Step({"candidate": 0.0}, duration(self.warm)),
            Step({"candidate": 100.0}, duration(self.keep)),
        )
