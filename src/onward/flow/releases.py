"""Releases as the ledger tells them: who serves, what is under way, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import msgspec

from onward.core.events import Event, Recorded
from onward.core.ports import Ledger
from onward.core.records import ImageRef
from onward.core.refs import ref
from onward.flow.happened import fact
from onward.stages.serve.release.config import SHADOW
from onward.stages.serve.routes import Spans


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
        None while it runs.
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
    def standing(self) -> str:
        """What the candidate has while the release is under way, in words."""
        if SHADOW in self.now:
            return f"version {self.version} answers beside the champion, as its shadow"
        return f"version {self.version} has {self.percent:g} % of the traffic"

    @property
    def percent(self) -> float:
        """The candidate's share now."""
        if self.ended is not None:
            return 100.0 if self.ended == "promoted" else 0.0
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
    found: Release | None = None
    for told in _told(ledger, model):
        event = told.event
        if event.kind == "release.started":
            found = _begun(told)
        elif found is not None and event.key.partition(".")[0] == ref(
            "release", model, found.version
        ):
            found = _next(found, event)
    return found


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
                step=facts["step"],
                step_started_at=at,
                paused="",
            )
    return release


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
