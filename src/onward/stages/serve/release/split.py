"""What a user declares about A/B tests: arms side by side, and a bandit that moves their shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from onward.core.clock import duration
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.stages.serve.release.config import Guardrails, Step, Strategy
from onward.stages.serve.release.declared import require, require_numbers, require_split

_GOALS: Final = {"loss": "max_loss_increase", "reward": "max_reward_drop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thompson:
    """Thompson sampling (1933): shares follow the chance that an arm is the best.

    Rewards lie between 0 and 1: a unit's is the mean of what it brought, and an arm's mean has a
    Beta posterior from a flat prior. The chances are those of `draws` samples.

    Parameters
    ----------
    floor
        Percent of units that every arm keeps, the champion's included.
    every
        How long an allocation lasts at least.
    draws
        How many samples.
    seed
        Where they begin; with it and the counts in the ledger an allocation can be made again.
    """

    floor: float = 5.0
    every: str | timedelta = "1h"
    draws: int = 20_000
    seed: int = 0
    location: Location | None = field(default_factory=here, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", duration(self.every, self.location))
        require_numbers(self.location, floor=self.floor, draws=self.draws, seed=self.seed)
        require(
            0 < self.floor <= 50, f"the floor is {self.floor}", "a percentage above 0, up to 50",
            self.location,
        )  # fmt: skip
        for name, least in (("draws", 1), ("seed", 0)):
            number = getattr(self, name)
            require(
                isinstance(number, int) and number >= least, f"{name} is {number}",
                f"a whole number, {least} or more", self.location,
            )  # fmt: skip


def thompson(
    *, floor: float = 5.0, every: str | timedelta = "1h", draws: int = 20_000, seed: int = 0
) -> Thompson:
    """Let an A/B test's shares follow its rewards; see `Thompson`."""
    return Thompson(floor=floor, every=every, draws=draws, seed=seed)


@dataclass(frozen=True, kw_only=True)
class ABTest(Strategy):
    """A split between arms until one is shown to be better than the champion.

    A canary asks whether a version does no harm; this asks which is better. An arm that does harm
    loses its share to the champion; when none is left, or none is better by the deadline, the
    champion stays. Of several that are better the one with the best estimate is promoted.

    Parameters
    ----------
    split
        Percent of units by arm: ``candidate``, and earlier versions as ``v3``. The champion has
        what they leave.
    goal
        What an arm must be better at: ``loss`` or ``reward``, with a limit in `guardrails`.
    bake
        How long the test lasts at least.
    bandit
        Moves the shares by the rewards: `onward.thompson`; None leaves the split as it is.
    """

    split: Mapping[str, float] = field(default_factory=lambda: {"candidate": 50.0})
    goal: str = "loss"
    bake: str | timedelta = "1d"
    bandit: Thompson | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        split = require_split(self.split, self.location)
        _require_goal(self.goal, self.guardrails, self.location)
        require(
            self.bandit is None or isinstance(self.bandit, Thompson),
            f"the bandit is {self.bandit!r}", "ow.thompson(...)", self.location,
        )  # fmt: skip
        floor = 0.0 if self.bandit is None else self.bandit.floor
        require(
            floor * (len(split) + 1) <= 100,
            f"{len(split) + 1} arms cannot have {floor:g} % each",
            "a floor that leaves something to share out",
            self.location,
        )
        object.__setattr__(self, "split", split)
        object.__setattr__(self, "bake", duration(self.bake, self.location))

    @property
    def name(self) -> str:
        return "A/B test" if self.bandit is None else "bandit"

    @property
    def plan(self) -> tuple[Step, ...]:
        """The split."""
        return (Step(self.split, duration(self.bake)),)


def _require_goal(goal: str, guardrails: Guardrails, location: Location | None) -> None:
    if goal not in _GOALS:
        what, expected = unknown_name("goal of an A/B test", goal, _GOALS)
        raise DeclarationError(what, expected=expected, location=location)
    require(
        goal in guardrails.limits, f"the goal is {goal!r}, and no guardrail limits it",
        f"guardrails=ow.Guardrails({_GOALS[goal]}=...)", location,
    )  # fmt: skip
