from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from onward.core.events import Event
from onward.core.records import Prediction
from onward.infra.database import open_database
from onward.watch.audit.adapters.sql import SqlLedger

START = datetime(2013, 1, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path):
    engine = open_database(tmp_path / "onward.db")
    yield SqlLedger(engine)
    engine.dispose()


@pytest.fixture
def tell(ledger: SqlLedger) -> Callable[..., Event]:
    count = [0]

    def told(
        kind: str, inputs: Sequence[str], outputs: Sequence[str], run: str = "r1", **facts: Any
    ) -> Event:
        count[0] += 1
        event = Event(
            kind=kind,
            key=str(count[0]),
            subject="flight_delay",
            at=START + timedelta(hours=count[0]),
            run=run,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            facts=facts,
        )
        return ledger.append(event).event

    return told


METRIC = {"name": "roc_auc", "value": 0.7, "low": 0.68, "high": 0.72, "rows": 5_000}
GATE = {"gate": "at_least", "passed": True, "reason": "0.70 is at least 0.62", "facts": {}}


@pytest.fixture
def delivered(tell):
    """Two runs: the second one's training set reads newer data, and it is judged by the first."""
    for run, n in (("r1", 1), ("r2", 2)):
        for source in ("flights", "weather"):
            batch = f"batch:raw.{source}@{run}"
            earlier = [f"snapshot:raw.{source}@{n - 1}"] if n > 1 else []
            tell("batch.ingested", [], [batch], run)
            report = f"report:{run}.validate.{source}"
            tell("batch.audited", [batch, *earlier], [f"snapshot:raw.{source}@{n}", report], run)
        tell("table.built", [f"snapshot:raw.flights@{n}", f"snapshot:raw.weather@{n}"],
             [f"batch:derived.departures@{run}"], run)  # fmt: skip
        tell("batch.audited", [f"batch:derived.departures@{run}"],
             [f"snapshot:derived.departures@{n}"], run)  # fmt: skip
        tell("features.published", [f"snapshot:raw.flights@{n}"], ["features:delays@1"], run)
        tell("training.built", [f"snapshot:derived.departures@{n}", "features:delays@1"],
             [f"training:t{n}"], run)  # fmt: skip
        tell("model.trained", [f"training:t{n}", "candidate:flight_delay@defaults", f"commit:c{n}"],
             [f"trained:f{n}"], run, parameters={"l2": n}, commit=f"c{n}")  # fmt: skip
        champion = ["model:flight_delay@1"] if n > 1 else []
        tell("model.evaluated", [f"trained:f{n}", f"training:t{n}", *champion],
             [f"report:{run}.evaluate.flight_delay"], run,
             report={"metrics": [{**METRIC, "value": n / 10}], "gates": [GATE]})  # fmt: skip
        model = f"model:flight_delay@{n}"
        tell("model.registered", [f"trained:f{n}", f"report:{run}.evaluate.flight_delay"],
             [model], run)  # fmt: skip
        tell("image.packaged", [model], [f"image:flight_delay@sha256:{n}"], run)
        tell("release.started", [f"image:flight_delay@sha256:{n}", model],
             [f"release:flight_delay@{n}.1"], run, percent=5.0 if n > 1 else 100.0)  # fmt: skip
    tell("release.stepped", ["release:flight_delay@2.1"], ["release:flight_delay@2.2"],
         percent=25.0)  # fmt: skip
    tell("release.ended", ["release:flight_delay@2.2"], ["release:flight_delay@2.3"],
         how="promoted", approved_by="ada")  # fmt: skip


@pytest.fixture
def answered() -> Callable[..., Prediction]:
    def made(version: int, step: int) -> Prediction:
        return Prediction(
            id=f"p{version}", at=START + timedelta(days=30), model="flight_delay", version=version,
            image=f"image:flight_delay@sha256:{version}",
            release=f"release:flight_delay@{version}.{step}", arm="candidate", unit="AA1",
            status=200, latency_us=900, request={}, features={}, output=0.4,
        )  # fmt: skip

    return made
