"""Releases as the ledger tells them: who serves, what is under way, how it ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from onward.core.events import Recorded
from onward.core.ports import Ledger
from onward.core.records import ImageRef
from onward.core.refs import ref
from onward.flow.happened import fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release as the ledger tells it. `step` counts from 1; `ended` is None while it runs."""

    model: str
    candidate: ImageRef
    champion: ImageRef | None
    step: int
    percent: float
    started_at: datetime
    step_started_at: datetime
    ended: Literal["promoted", "rolledback"] | None
    reason: str

    @property
    def version(self) -> int:
        return self.candidate.model.version

    @property
    def ref(self) -> str:
        return ref("release", self.model, f"{self.version}.{self.step}")


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
            serving = fact(told, "champion", ImageRef) if event.facts["champion"] else None
            found = Release(
                model=model,
                candidate=fact(told, "candidate", ImageRef),
                champion=serving,
                step=1,
                percent=event.facts["percent"],
                started_at=event.at,
                step_started_at=event.at,
                ended=None,
                reason="",
            )
        elif found is not None and event.key.partition(".")[0] == ref(
            "release", model, found.version
        ):
            found = _next(found, told)
    return found


def _next(release: Release, told: Recorded) -> Release:
    facts, at = told.event.facts, told.event.at
    if told.event.kind == "release.stepped":
        return replace(release, step=facts["step"], percent=facts["percent"], step_started_at=at)
    if told.event.kind == "release.ended":
        percent = 100.0 if facts["how"] == "promoted" else 0.0
        return replace(
            release,
            ended=facts["how"],
            reason=facts["reason"],
            percent=percent,
            step=facts["step"],
            step_started_at=at,
        )
    return release


def _told(ledger: Ledger, model: str) -> list[Recorded]:
    return [told for told in ledger.events(subject=model) if told.event.kind.startswith("release.")]


def promotions(ledger: Ledger, model: str) -> list[ImageRef]:
    """Return the champions in line: a promotion adds one, a reversion takes the last away."""
    line: list[ImageRef] = []
    candidates: dict[str, ImageRef] = {}
    for told in _told(ledger, model):
        event = told.event
        if event.kind == "release.started":
            candidates[event.key] = fact(told, "candidate", ImageRef)
        elif event.kind == "release.ended" and event.facts["how"] == "promoted":
            line.append(candidates[event.key])
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
