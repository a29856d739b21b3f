"""The pipeline: what a user's file declares, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from onward.core.clock import duration
from onward.core.declarations import Model
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location
from onward.stages.deploy.config import Acceptance, Kubernetes, Latency, Load, Replay
from onward.stages.evaluate.config import AtLeast, BeatsChampion, Fair, Gate, Robust
from onward.stages.monitor.config import (
    Drift,
    Freshness,
    Monitor,
    Operational,
    Performance,
    Skew,
)
from onward.stages.retrain.config import Retrain
from onward.stages.serve.config import Serving
from onward.stages.serve.release.config import Canary, Strategy


@dataclass(frozen=True, slots=True, init=False)
class Pipeline:
    """One model's way from data to production and round again.

    Parameters
    ----------
    model
        What `onward.model` declared.
    gates
        What a challenger must pass before it is registered or, for latency, load and replay,
        before it is released.
    release
        How a new version takes over from the champion: a strategy, or several in a row, such as
        ``[ow.Shadow(), ow.Canary()]``.
    monitors
        What is watched in production, each `every` window of event time.
    serving
        How the model is served: by which guarantee predictions are logged, for one.
    on_breach
        What a breach that persists starts; None only alerts.
    deploy
        How its containers run, where `onward deploy` puts them; a change of it starts no run.
    """

    model: Model
    gates: tuple[Gate, ...]
    acceptance: tuple[Acceptance, ...]
    release: tuple[Strategy, ...]
    monitors: tuple[Monitor, ...]
    every: timedelta
    on_breach: Retrain | None
    serving: Serving
    deploy: Kubernetes = field(compare=False)
    location: Location | None = field(compare=False)

    def __init__(
        self,
        *,
        model: Model,
        gates: Sequence[Gate | Acceptance] = (),
        release: Strategy | Sequence[Strategy] | None = None,
        monitors: Sequence[Monitor] = (),
        every: str | timedelta = "1d",
        on_breach: Retrain | None = None,
        serving: Serving | None = None,
        deploy: Kubernetes | None = None,
    ) -> None:
        location = here()
        _each(model=[model], kinds=(Model,), hint="@ow.model(...)", location=location)
        _each(gates=gates, kinds=(AtLeast, BeatsChampion, Fair, Robust, Latency, Load, Replay),
              hint="ow.at_least, ow.beats_champion, ow.fair, ow.robust, ow.latency, "
              "ow.under_load or ow.replayed",
              location=location)  # fmt: skip
        _each(monitors=monitors, kinds=(Drift, Performance, Operational, Freshness, Skew),
              hint="ow.drift, ow.performance, ow.operational, ow.freshness or ow.skew",
              location=location)  # fmt: skip
        strategies = [release] if isinstance(release, Strategy) else release or [Canary()]
        _each(release=strategies, kinds=(Strategy,), hint="ow.Canary(...), or a list of strategies",
              location=location)  # fmt: skip
        _each(on_breach=[on_breach] if on_breach else [], kinds=(Retrain,),
              hint="ow.retrain(...)", location=location)  # fmt: skip
        _each(serving=[serving or Serving()], kinds=(Serving,), hint="ow.Serving(...)",
              location=location)  # fmt: skip
        _each(deploy=[deploy or Kubernetes()], kinds=(Kubernetes,), hint="ow.Kubernetes(...)",
              location=location)  # fmt: skip
        set_ = object.__setattr__
        set_(self, "model", model)
        set_(self, "gates", tuple(g for g in gates if not isinstance(g, Acceptance)))
        set_(self, "acceptance", tuple(g for g in gates if isinstance(g, Acceptance)))
        set_(self, "release", tuple(strategies))
        set_(self, "monitors", tuple(monitors))
        set_(self, "every", duration(every, location))
        set_(self, "on_breach", on_breach)
        set_(self, "serving", serving or Serving())
        set_(self, "deploy", deploy or Kubernetes())
        set_(self, "location", location)


def _each(
    kinds: tuple[type, ...], hint: str, location: Location | None, **named: Sequence[object]
) -> None:
    [(name, values)] = named.items()
    for value in values:
        if not isinstance(value, kinds):
            raise DeclarationError(f"{name} holds {value!r}", expected=hint, location=location)
