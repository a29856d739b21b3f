"""Lineage of one prediction, in a ledger of a hundred thousand events."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from bench.report import Row
from onward.core.events import Event
from onward.core.records import Prediction
from onward.infra.database import open_database
from onward.watch.audit.adapters.sql import SqlLedger
from onward.watch.lineage.prediction import describe
from onward.watch.lineage.trace import trace

START = datetime(2013, 1, 1, tzinfo=UTC)
MODEL = "flight_delay"
PER_RUN = 17


def run(quick: bool) -> Sequence[Row]:
    """Fill a ledger with runs, then ask; medians, and SQLite's own time for as many look-ups."""
    runs, rounds = (60, 5) if quick else (100_000 // PER_RUN, 50)
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(Path(folder) / "onward.db")
        ledger = SqlLedger(engine)
        began = perf_counter()
        ledger.extend(event for number in range(1, runs + 1) for event in _told(number))
        filled = perf_counter() - began
        began = perf_counter()
        events = ledger.verify()
        verified = perf_counter() - began
        target = f"release:{MODEL}@{runs - 1}.1"
        asked = [
            _timed(lambda n=n: describe(_answered(runs - n % 9 - 1), ledger=ledger))
            for n in range(rounds)
        ]
        latest = [
            _timed(lambda: ledger.events(kind="monitor.reported", subject=MODEL,
                                         newest_first=True, limit=1))
            for _ in range(rounds)
        ]  # fmt: skip
        traced = [_timed(lambda: trace(target, ledger=ledger, depth=8)) for _ in range(rounds)]
        engine.dispose()
    note = f"limit: 50 ms; ledger filled in {filled:.1f} s, verified in {verified:.1f} s"
    rows = (("lineage of one prediction", asked, 50.0), ("trace, 8 events deep", traced, 50.0),
            ("newest event of a kind and subject", latest, 5.0))  # fmt: skip
    return [
        Row(work=f"{work}, {events:,} events", ours=statistics.median(taken), limit=limit,
            ratio=statistics.median(taken) / limit, target="<= 1", unit="ms", note=note)
        for work, taken, limit in rows
    ]  # fmt: skip


def _timed(work) -> float:
    began = perf_counter()
    work()
    return (perf_counter() - began) * 1e3


def _told(n: int) -> Iterator[Event]:
    def event(kind: str, inputs: list[str], outputs: list[str], **facts: object) -> Event:
        return Event(
            kind=kind, key=f"{n}/{outputs[0] if outputs else kind}", subject=MODEL, run=f"r{n}",
            at=START + timedelta(hours=n), inputs=tuple(inputs), outputs=tuple(outputs),
            facts=facts,
        )  # fmt: skip

    for table in ("raw.flights", "raw.weather"):
        yield event("batch.ingested", [], [f"batch:{table}@{n}"], rows=1_000)
        yield event("batch.audited", [f"batch:{table}@{n}", f"snapshot:{table}@{n - 1}"],
                    [f"snapshot:{table}@{n}"], held=False)  # fmt: skip
    raw = [f"snapshot:raw.flights@{n}", f"snapshot:raw.weather@{n}"]
    yield event("table.built", raw, [f"batch:derived.departures@{n}"])
    yield event("batch.audited", [f"batch:derived.departures@{n}"],
                [f"snapshot:derived.departures@{n}"])  # fmt: skip
    for view in ("carriers", "routes"):
        yield event("features.published", raw[:1], [f"features:{view}@1"])
    features = [f"features:{view}@1" for view in ("carriers", "routes")]
    yield event("training.built", [f"snapshot:derived.departures@{n}", *features],
                [f"training:{n}"])  # fmt: skip
    yield event("model.trained", [f"training:{n}", f"commit:{n}"], [f"trained:{n}"],
                parameters={"l2": 1.0}, commit=str(n))  # fmt: skip
    yield event("model.evaluated", [f"trained:{n}", f"model:{MODEL}@{n - 1}"], [f"report:{n}"],
                report={"metrics": [], "gates": []})  # fmt: skip
    yield event("model.registered", [f"trained:{n}", f"report:{n}"], [f"model:{MODEL}@{n}"])
    yield event("image.packaged", [f"model:{MODEL}@{n}"], [f"image:{MODEL}@{n}"])
    for step in (1, 2, 3):
        yield event("release.stepped", [f"image:{MODEL}@{n}"], [f"release:{MODEL}@{n}.{step}"],
                    percent=5.0)  # fmt: skip
    yield event("monitor.reported", [], [], breaches=[])


def _answered(version: int) -> Prediction:
    return Prediction(
        id="p", at=START, model=MODEL, version=version, image=f"image:{MODEL}@{version}",
        release=f"release:{MODEL}@{version}.2", arm="champion", unit="u", status=200,
        latency_us=1, request={}, features={}, output=0.5,
    )  # fmt: skip
