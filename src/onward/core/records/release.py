"""Records of releases: which arm gets which units, what was measured of it, what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from onward.core.records.operation import ImageRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One arm of a model's routes: an image, its share of units, and the step that put it there.

    Parameters
    ----------
    arm
        ``champion``, ``candidate``, or what else a release calls it.
    percent
        The share of units that it gets; an arm of 0 % is kept loaded and warm.
    buckets
        The buckets ``low <= b < high`` whose units it gets, of 10,000; where no arm of the routes
        has any, they are allotted by the percentages.
    """

    arm: str
    image: ImageRef
    percent: float
    release: str
    buckets: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """How a deployment's predictions are logged.

    ``fast``: written before the answer leaves; a crash of the process loses none, one of the
    machine the answers of a few milliseconds at most. ``strict``: on the disk before the answer
    leaves. What cannot be logged is refused, or served all the same, by `on_failure`.
    """

    guarantee: Literal["fast", "strict"] = "fast"
    on_failure: Literal["refuse", "serve"] = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What the gateway serves for one model. The salt makes assignment sticky per release.

    `log` and `on_log_failure` are the deployment's own `Logging`; `deadline_s` is that of requests
    that name none, in seconds, and `rows` how many one may have; None leaves it to the gateway.

    With an `audience`, an expression on request columns, only rows that match are assigned; the
    others get the champion, as the step `beside` the release. `kept` are the images of versions
    that have no part of the traffic, for those who ask for one by its number.
    """

    model: str
    salt: str
    routes: tuple[Route, ...]
    log: Literal["fast", "strict"] | None = None
    on_log_failure: Literal["refuse", "serve"] | None = None
    deadline_s: float | None = None
    rows: int | None = None
    audience: str = ""
    beside: str = ""
    kept: tuple[ImageRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailResult:
    """A confidence sequence for an arm minus the champion, so far; positive is worse.

    `champion_n` and `candidate_n` count units; `alpha` is the chance that it ever misses the truth.
    """

    name: str
    difference: float
    low: float
    high: float
    tolerance: float
    champion_n: int
    candidate_n: int
    state: Literal["safe", "harm", "undecided", "no data"]
    arm: str = "candidate"
    alpha: float = 0.05


Action = Literal["advance", "promote", "rollback", "hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDecision:
    """What to do with a release now, and why.

    Parameters
    ----------
    step, percent
        The release's step, from 1, and the candidate's share in it.
    strategy
        The strategy that was under way.
    arm
        The arm that is promoted.
    shares
        The next step's percent by arm, where it advances.
    units
        For each step the units that it was the first to see, by arm, and the shares declared.
    posterior, seed
        What a bandit drew the next shares from: each arm's Beta parameters, and the seed.
    data
        The snapshot of the prediction log that was judged, with the labels known at `at`.
    """

    release: str
    model: str
    version: int
    step: int
    percent: float
    action: Action
    reason: str
    guardrails: tuple[GuardrailResult, ...]
    at: datetime
    strategy: str = "canary"
    arm: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    units: tuple[tuple[Mapping[str, int], Mapping[str, float]], ...] = ()
    posterior: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seed: int = 0
    data: str = ""
