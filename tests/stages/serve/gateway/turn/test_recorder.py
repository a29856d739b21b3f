"""What a turn writes into the log: for each row what its part has, whatever parts stand beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.routing.job import Job, Part
from onward.stages.serve.gateway.routing.live import Target
from onward.stages.serve.gateway.turn.recorder import Recorder
from onward.stages.serve.log.segment import Batch

AT_US = 1_770_000_000_000_000
STATUSES = (200, 422, 503)


class Pages:
    """A log that keeps in memory what it is given."""

    position = 0

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def listen(self, settled: Any) -> None: ...

    def behind(self, now_ns: int) -> bool:
        return False

    def append(self, batches: Sequence[tuple[Any, Batch]], told: Sequence[Any]) -> list[str]:
        assert not told
        self.batches += [batch for _, batch in batches]
        return [f"w.0.{number:x}" for number in range(len(batches))]


@st.composite
def shapes(draw: st.DrawFn) -> list[tuple[int, int, bool, bool]]:
    """Parts: their rows, status, and whether they have requests, and marks."""
    of_rows = st.just(1) if draw(st.booleans()) else st.integers(1, 4)
    part = st.tuples(of_rows, st.sampled_from(STATUSES), st.booleans(), st.booleans())
    return draw(st.lists(part, min_size=1, max_size=5))


def part_of(target: Target, n: int, status: int, requested: bool, marked: bool, at: int) -> Part:
    k, width = len(target.model.plan.columns), target.model.width
    part = Part(target, AT_US + at)
    part.units = [f"u{at}-{row}" for row in range(n)]
    if status == 200:
        part.computed = np.full((n, k), float(at)) + np.arange(n)[:, None]
        part.output = np.full((n, width), at / 10)
    else:
        part.fail(status, f"error {at}")
    if requested:
        part.requests = [(at, row) for row in range(n)]
    if marked:
        part.marks = [None if row else {"view": "missing:default"} for row in range(n)]
    return part


@given(shapes())
def test_each_row_has_what_its_part_has(target: Target, drawn: list[Any]) -> None:
    parts = [part_of(target, *shape, at=at) for at, shape in enumerate(drawn)]
    jobs = []
    for part in parts:
        jobs.append(Job(None, route="infer", keep_alive=True))  # type: ignore[arg-type]  # nobody is answered
        jobs[-1].parts = (part,)
    log, metrics = Pages(), Metrics()
    recorder = Recorder(metrics=metrics, log=log)  # type: ignore[arg-type]  # in memory
    assert not recorder.record(jobs, {(target, True): parts})

    [batch] = log.batches
    k, width = len(target.model.plan.columns), target.model.width
    features = np.frombuffer(batch.features).reshape(-1, k)
    outputs = np.frombuffer(batch.output).reshape(-1, width)
    row = 0
    for at, part in enumerate(parts):
        for i, unit in enumerate(part.units):
            assert (batch.at[row], batch.unit[row]) == (AT_US + at, unit)
            assert (batch.status[row], batch.latency_us[row]) == (part.status, part.latency_us)
            assert batch.requests[row] == (part.requests[i] if part.requests else None)
            assert (batch.errors[row] if batch.errors else None) == part.error
            assert (batch.marks[row] if batch.marks else None) == (part.marks or {i: None})[i]
            failed = part.computed is None or part.output is None
            np.testing.assert_array_equal(features[row], np.nan if failed else part.computed[i])
            np.testing.assert_array_equal(outputs[row], np.nan if failed else part.output[i])
            assert part.ids[i] == f"w.0.0.{row:x}"
            row += 1
    assert len(batch.unit) == len(features) == len(outputs) == row

    name, version = target.model.name, target.model.version
    for status in STATUSES:
        rows = sum(len(part.units) for part in parts if part.status == status)
        assert metrics.predictions[name, version, target.arm, status] == rows


def test_what_the_caller_got_wrong_is_not_logged(target: Target) -> None:
    part = part_of(target, 1, 400, True, False, at=0)
    job = Job(None, route="infer", keep_alive=True)  # type: ignore[arg-type]
    job.parts = (part,)
    log = Pages()
    recorder = Recorder(metrics=Metrics(), log=log)  # type: ignore[arg-type]
    assert not recorder.record([job], {(target, True): [part]})
    assert log.batches == []
    assert not part.ids
