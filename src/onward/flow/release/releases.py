"""Releases as the ledger tells them: who serves, what is under way, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import msgspec

from onward.core.events import Event, Recorded
from onward.core.ports import Ledger
from onward.core.records import ImageRef, ReleaseDecision
from onward.core.refs import ref
from onward.flow.happened import fact
from onward.stages.serve.release.config import SHADOW
from onward.stages.serve.routes import Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversion:
    """A champion that was taken back: `leaving` and `returning` are versions; who, when and why."""

    leaving: int
    returning: int
    at: datetime
    by: str
    reason: str

    def __str__(self) -> str:
        by = f" by {self.by}" if self.by else ""
        return (
            f"version {self.leaving} was taken back at {self.at:%Y-%m-%d %H:%M}{by}, "
            f"and version {self.returning} serves again: {self.reason}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release as the ledger tells it.

    Parameters
    ----------
    arms
        The images beside the champion's, by arm; ``candidate`` is the one that is released.
    strategy
        Which of the pipeline's strategies is under way, from 0.
    step
        The step, from 1, over all strategies: predictions are logged with it.
    shares
        Each arm's percent, by step, since the strategy began.
    buckets
        What each arm has now; see `stages.serve.routes.allot`.
    audience
        Whom it is for; empty for everybody.
    paused
        Why it is paused; empty where it is not.
    ended
        None while it runs; `ended_at` is when it ended, `by` who ended it, empty where the
        statistics did, `arm` the one that was promoted.
    reversions
        The champions that were taken back since it ended, this release's or one before it.
    """

    model: str
    candidate: ImageRef
    champion: ImageRef | None
    arms: Mapping[str, ImageRef]
    strategy: int
    step: int
    shares: Mapping[int, Mapping[str, float]]
    buckets: Mapping[str, Spans] = field(default_factory=dict)
    started_at: datetime
    strategy_started_at: datetime
    step_started_at: datetime
    audience: str = ""
    paused: str = ""
    ended: Literal["promoted", "rolledback"] | None = None
    reason: str = ""
    ended_at: datetime | None = None
    by: str = ""
    arm: str = ""
    reversions: tuple[Reversion, ...] = ()

    @property
    def version(self) -> int:
        return self.candidate.model.version

    @property
    def ref(self) -> str:
        return ref("release", self.model, f"{self.version}.{self.step}")

    @property
    def outcome(self) -> str:
        """How it ended, in words; empty while it is under way."""
        return {"promoted": "promoted", "rolledback": "rolled back", None: ""}[self.ended]

    @property
    def endings(self) -> tuple[str, ...]:
        """What became of it, a sentence each, the last thing last; none while it is under way."""
        if self.ended is None or self.ended_at is None:
            return ()
        what = f"version {self.version}"
        if self.ended == "promoted" and self.arm != "candidate":
            what = f"{self.arm}, an arm of the release of {what},"
        by = f" by {self.by}" if self.by else ""
        ended = f"{what} was {self.outcome} at {self.ended_at:%Y-%m-%d %H:%M}{by}: {self.reason}"
        return (ended, *map(str, self.reversions))

    @property
    def standing(self) -> str:
        """What the candidate has while the release is under way, or how it ended, in words."""
        if self.ended is not None:
            return self.endings[-1]
        if SHADOW in self.now:
            return f"version {self.version} answers beside the champion, as its shadow"
        return f"version {self.version} has {self.percent:g} % of the traffic"

    @property
    def percent(self) -> float:
        """The candidate's share now."""
        if self.ended is not None:
            left = {reversion.leaving for reversion in self.reversions}
            return 100.0 if self.arm == "candidate" and self.version not in left else 0.0
        return self.now.get("candidate", 0.0)

    @property
    def now(self) -> Mapping[str, float]:
        """Each arm's percent in the step that lasts."""
        return self.shares[self.step]


def champion(ledger: Ledger, model: str) -> ImageRef | None:
    """Return the image that serves as champion, by the ledger."""
    line = promotions(ledger, model)
    return line[-1] if line else None


def packaged(ledger: Ledger, model: str) -> dict[int, ImageRef]:
    """Return the newest image of each version that was packaged, by the ledger."""
    told = ledger.events(kind="image.packaged", subject=model)
    images = [fact(one, "image", ImageRef) for one in told]
    return {image.model.version: image for image in images}


def current(ledger: Ledger, model: str) -> Release | None:
    """Return the newest release of a model, ended or not."""
    found = list(_releases(ledger, model).values())
    return found[-1] if found else None


def release_of(ledger: Ledger, model: str, version: int) -> Release | None:
    """Return the release of a version as it stands, or as it ended; None if it never began."""
    return _releases(ledger, model).get(ref("release", model, version))


def _releases(ledger: Ledger, model: str) -> dict[str, Release]:
    """Return a model's releases by their refs without a step, in the order in which they began."""
    found: dict[str, Release] = {}
    newest = ""
    for told in _told(ledger, model):
        event = told.event
        of = event.key.partition(".")[0]
        if event.kind == "release.started":
            found[of], newest = _begun(told), of
        elif event.kind == "release.reverted":
            taken_back = (*found[newest].reversions, _reversion(told))
            found[newest] = replace(found[newest], reversions=taken_back)
        else:
            found[of] = _next(found[of], event)
    return found


def decisions(ledger: Ledger, release: Release) -> list[ReleaseDecision]:
    """Return the decisions that moved a release on, or ended it, oldest first.

    `stages.serve.release.decision.decide_again` makes each of them again.
    """
    of = ref("release", release.model, release.version)
    return [
        fact(told, "decision", ReleaseDecision)
        for told in _told(ledger, release.model)
        if told.event.key.partition(".")[0] == of
        and "terms" in (told.event.facts.get("decision") or ())
    ]


def _begun(told: Recorded) -> Release:
    facts, at = told.event.facts, told.event.at
    return Release(
        model=told.event.subject,
        candidate=fact(told, "candidate", ImageRef),
        champion=fact(told, "champion", ImageRef) if facts["champion"] else None,
        arms=fact(told, "arms", dict[str, ImageRef]),
        strategy=facts["strategy"],
        step=1,
        shares={1: facts["shares"]},
        buckets=_buckets(facts),
        audience=facts["audience"],
        started_at=at,
        strategy_started_at=at,
        step_started_at=at,
    )


def _next(release: Release, event: Event) -> Release:
    if release.ended is not None:  # somebody ended it while another was about to take it on
        return release
    facts, at = event.facts, event.at
    match event.kind:
        case "release.stepped":
            anew = facts["strategy"] != release.strategy
            step = facts["step"]
            return replace(
                release,
                step=step,
                strategy=facts["strategy"],
                shares={step: facts["shares"]}
                if anew
                else {**release.shares, step: facts["shares"]},
                buckets=_buckets(facts),
                audience=facts["audience"],
                strategy_started_at=at if anew else release.strategy_started_at,
                step_started_at=at,
            )
        case "release.paused":
            return replace(release, paused=facts["reason"])
        case "release.resumed":
            return replace(release, paused="")
        case "release.ended":
            return replace(
                release,
                ended=facts["how"],
                reason=facts["reason"],
                ended_at=at,
                by=facts["by"],
                arm=facts["arm"] if facts["how"] == "promoted" else "",
                step=facts["step"],
                step_started_at=at,
                paused="",
            )
    return release


def _reversion(told: Recorded) -> Reversion:
    facts = told.event.facts
    leaving, returning = (fact(told, name, ImageRef) for name in ("leaving", "returning"))
    return Reversion(
        leaving=leaving.model.version,
        returning=returning.model.version,
        at=told.event.at,
        by=facts.get("by", ""),
        reason=facts["reason"],
    )


def _buckets(facts: Mapping[str, Any]) -> Mapping[str, Spans]:
    return msgspec.convert(facts["buckets"], dict[str, tuple[tuple[int, int], ...]])


def _told(ledger: Ledger, model: str) -> list[Recorded]:
    return [told for told in ledger.events(subject=model) if told.event.kind.startswith("release.")]


def promotions(ledger: Ledger, model: str) -> list[ImageRef]:
    """Return the champions in line: a promotion adds one, a reversion takes the last away."""
    line: list[ImageRef] = []
    for told in _told(ledger, model):
        event = told.event
        if event.kind == "release.ended" and event.facts["how"] == "promoted":
            line.append(fact(told, "image", ImageRef))
        elif event.kind == "release.reverted" and line:
            line.pop()
    return line


def serving_ref(ledger: Ledger, model: str) -> str:
    """Return the ref of the release step that put the champion where it is."""
    for told in reversed(_told(ledger, model)):
        if told.event.outputs and told.event.kind in ("release.ended", "release.reverted"):
            return told.event.outputs[0]
    return ref("release", model, 0)


def reversions(ledger: Ledger, model: str) -> int:
    """Return how often the model went back to an earlier champion."""
    return sum(told.event.kind == "release.reverted" for told in _told(ledger, model))
