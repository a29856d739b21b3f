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
class Evidence:
    """What an interval was computed from: with it, it can be computed again to the last digit.

    Parameters
    ----------
    kind
        ``means``: arm minus champion, stratified by step, relative or not, or paired on the same
        rows; its half width comes of the estimate's variance. ``distance``: of two distributions;
        its half width comes of the units alone.
    estimate
        The arm minus the champion, or the distance; positive is worse.
    variance
        The estimate's, summed over units; 0 for a distance.
    weight
        The strata's overlap weights together, in units; 0 for a distance.
    champion_n, candidate_n
        How many units it rests on.
    alpha
        The chance that the interval ever misses the truth.
    tuned_for
        The weight at which it is narrowest; 0 for a distance.
    """

    kind: Literal["means", "distance"]
    estimate: float
    variance: float = 0.0
    weight: float = 0.0
    champion_n: int
    candidate_n: int
    alpha: float
    tuned_for: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailResult:
    """A confidence sequence for an arm minus the champion, so far; positive is worse.

    Without data `low` and `high` are None. It is ``safe`` where ``high * share <= tolerance``:
    `share` is the part of all units that the arm would have next. `champion_n` and `candidate_n`
    count units; `alpha` is the chance that it ever misses the truth.
    """

    name: str
    difference: float
    low: float | None
    high: float | None
    tolerance: float
    champion_n: int
    candidate_n: int
    state: Literal["safe", "harm", "undecided", "no data"]
    arm: str = "candidate"
    alpha: float = 0.05
    share: float = 1.0
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """How a bandit shares units out anew.

    `posterior` holds each arm's Beta parameters, empty while its time has not come or no reward
    is known, of which `lacking` tells; `draws` samples from it, begun at `seed`, give the shares.
    """

    floor: float
    draws: int
    seed: int
    posterior: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    lacking: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a decision was held to, besides the guardrails.

    Parameters
    ----------
    since, deadline
        When the strategy began; and when it falls back, if nothing was shown by then.
    not_before
        When the step, or the test as a whole, has lasted long enough.
    minimum, answered
        How many answers each arm needs, and how many it has; of a shadow, those of both.
    shares
        What each arm has now, in percent.
    following
        What they have in the next step; None where promotion is next.
    step, steps
        The strategy's step, from 1, and how many it has.
    goal
        What an arm of a test has to be better at.
    allotment
        The bandit's.
    """

    since: datetime
    deadline: datetime
    not_before: datetime
    minimum: int
    answered: Mapping[str, int]
    shares: Mapping[str, float]
    following: Mapping[str, float] | None = None
    step: int = 1
    steps: int = 1
    goal: str = ""
    allotment: Allotment | None = None


Action = Literal["advance", "promote", "rollback", "hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDecision:
    """What to do with a release now, and why; all that it follows from is in it.

    Parameters
    ----------
    step, percent
        The release's step, from 1, and the candidate's share in it.
    strategy
        The strategy that was under way.
    action, allowed
        What is done, and what the statistics allowed: a release that a person paused, or did not
        approve, is held, or falls back, all the same.
    arm
        The arm that is promoted.
    shares
        The next step's percent by arm, where it advances.
    units
        For each step the units that it was the first to see, by arm, and the shares declared.
    terms
        The least answers and time, and the deadline.
    data
        The snapshot of the prediction log that was judged, with the labels known at `at`.
    """

    release: str
    model: str
    version: int
    step: int
    percent: float
    action: Action
    allowed: Action
    reason: str
    guardrails: tuple[GuardrailResult, ...]
    at: datetime
    terms: Terms
    strategy: str = "canary"
    arm: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    units: tuple[tuple[Mapping[str, int], Mapping[str, float]], ...] = ()
    data: str = ""
