"""A shop whose releases are real, and whose traffic is made up and follows its routes.

The ledger, the routes and the statistics are real.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.records import ImageRef, ModelRef, ReleaseDecision
from onward.flow.happened import happened
from onward.flow.release import judge as judging
from onward.flow.release import loop as releasing
from onward.flow.release.loop import advance, begin
from onward.flow.release.observe import _observation_types
from onward.flow.site import Folders
from onward.infra.database import open_database
from onward.stages.serve.routes import read_routes
from onward.watch.audit.adapters.sql import SqlLedger

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
GUARDS = ow.Guardrails(max_loss_increase=None, max_error_increase=0.05)
CANARY = ow.Canary(steps=30, maximum=50, bake="1h", minimum=200, guardrails=GUARDS)


def image(version: int) -> ImageRef:
    model = ModelRef(name="m", version=version, path="", digest="", trained="", card="")
    return ImageRef(name="m", digest=f"sha256:{version}", layout="", model=model)


class Registry:
    """A registry that knows its champion."""

    def __init__(self) -> None:
        self.known: ModelRef | None = None

    def champion(self, name: str) -> ModelRef | None:
        return self.known

    def promote(self, model: ModelRef) -> None:
        self.known = model


class Shop:
    """A site whose traffic follows its routes, and a definition with the strategies given."""

    def __init__(self, folder: Path, *strategies: Any, access: Any = None) -> None:
        self.clock = ReplayClock(START)
        self.site: Any = SimpleNamespace(
            ledger=SqlLedger(open_database(folder / "onward.db")),
            clock=self.clock,
            registry=Registry(),
            folders=Folders(folder),
        )
        pipeline = SimpleNamespace(release=strategies)
        self.definition: Any = SimpleNamespace(model="m", pipeline=pipeline, access=access)
        self.errors: dict[str, float] = {}
        self.loss: dict[str, float] = {}
        self.skew = timedelta(0)
        self.rows: list[pa.Table] = []
        self.seed = 0

    def begin(self, version: int) -> Any:
        happened(self.site, "image.packaged", "m", key=str(version), image=image(version))
        return begin(self.site, self.definition, image(version), f"run-{version}")

    def routes(self) -> dict[str, tuple[int, float]]:
        routes, _ = read_routes(self.site.folders.routes / "m.json")
        return {r.arm: (r.image.model.version, r.percent) for r in routes.routes}

    def ask(self, n: int = 3_000) -> None:
        """Let n units ask, each once, and be assigned by the routes; then an hour passes."""
        routes, _ = read_routes(self.site.folders.routes / "m.json")
        chance = np.random.default_rng(self.seed)
        self.seed += 1
        asked = [r for r in routes.routes if r.percent or r.arm == "champion"]
        place = chance.choice(len(asked), n, p=[r.percent / 100 for r in asked])
        arm = np.array([r.arm for r in asked])[place]
        step = int(asked[0].release.rpartition(".")[2])
        at = self.clock.now() + self.skew
        answers = {
            "unit": [f"u{self.seed}-{i}" for i in range(n)],
            "at": pa.array([at] * n, pa.timestamp("us", "UTC")),
            "latency_us": chance.integers(900, 1_100, n),
            "output": chance.random(n),
            "reward": pa.nulls(n, pa.float64()),
            "step": pa.array([step] * n, pa.int32()),
        }
        for name in {*arm, *([r.arm for r in routes.routes if r.arm == "shadow"])}:
            rows = np.flatnonzero(arm == ("champion" if name == "shadow" else name))
            table = pa.table(answers).take(rows)
            failed = chance.random(len(rows)) < self.errors.get(name, 0.01)
            loss = np.clip(self.loss.get(name, 0.2) + chance.normal(0, 0.02, len(rows)), 0, 1)
            table = table.append_column("arm", pa.array([name] * len(rows)))
            table = table.append_column("status", pa.array(np.where(failed, 500, 200)))
            self.rows.append(table.append_column("loss", pa.array(loss)))
        self.clock.advance(self.clock.now() + HOUR)

    def turn(self, n: int = 3_000) -> ReleaseDecision | None:
        self.ask(n)
        return advance(self.site, self.definition)

    def observed(self, *_: Any) -> pa.Table:
        nothing = pa.schema(_observation_types()).empty_table()
        return pa.concat_tables(self.rows) if self.rows else nothing

    def told(self) -> list[str]:
        events = [t.event for t in self.site.ledger.events(subject="m")]
        return [e.kind.removeprefix("release.") for e in events if e.kind.startswith("release.")]


class Shops:
    """Makes shops whose first version serves, and lets them be judged by what they were asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._patch = folder, monkeypatch

    def __call__(self, *strategies: Any, access: Any = None) -> Shop:
        made = Shop(self._folder, *strategies, access=access)
        self._patch.setattr(releasing, "bring_in", lambda _: None)
        self._patch.setattr(judging, "observations", made.observed)
        made.begin(1)
        return made
