"""Replaying production on staging: what the champion was asked, asked of the staged image."""

from __future__ import annotations

import http.client
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onward.core.declarations import Task
from onward.core.records import FeaturePlan, GateResult
from onward.stages.deploy.config import Replay
from onward.stages.deploy.staged import Staged, ask, request_rows

EVENT_TIME = "onward-event-time"
"""The header by which a staging gateway that replays knows when a request was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request that the champion answered: what was asked, when, and the answer as one figure.

    Of a multiclass model the answer is the likeliest class's name: versions number theirs each in
    its own way.
    """

    request: Mapping[str, Any]
    at: datetime
    output: float | str


def replay(
    staged: Staged,
    past: Sequence[Answered],
    gate: Replay,
    name: str,
    *,
    plan: FeaturePlan,
    task: Task,
) -> GateResult:
    """Ask `past` again, row by row and as of its own times, and hold the answers beside it."""
    if not past:
        reason = f"the champion was asked nothing in the last {gate.window}"
        return GateResult(gate=name, passed=True, reason=reason, facts={"rows": 0})
    if unknown := [c.name for c in plan.request if c.name not in past[0].request]:
        reason = (
            f"not comparable: what was logged has no {', '.join(unknown)}, which this one reads"
        )
        return GateResult(gate=name, passed=True, reason=reason, facts={"rows": 0})
    pairs: list[tuple[Any, Any]] = []
    refused: list[str] = []
    connection = staged.connect()
    try:
        for row in past:
            status, found = ask(
                connection,
                f"{staged.path}/predict",
                request_rows([{c.name: row.request[c.name] for c in plan.request}]),
                {EVENT_TIME: row.at.isoformat()},
            )
            if status == http.client.OK:
                pairs.append((row.output, _said(found["predictions"][0]["output"])))
            else:
                refused.append(str(found.get("error", f"status {status}")))
    finally:
        connection.close()
    return _judged(pairs, refused, gate, name, task)


def _said(output: Any) -> float | str:
    """Return the probability or the value, or the likeliest class's name."""
    if not isinstance(output, dict):
        return float(output)
    likeliest: str = max(output, key=lambda name: output[name])
    return likeliest


def _judged(
    pairs: Sequence[tuple[Any, Any]],
    refused: Sequence[str],
    gate: Replay,
    name: str,
    task: Task,
) -> GateResult:
    rows = len(pairs) + len(refused)
    change = _change(pairs, task)
    within = gate.change is None or (change is not None and change <= gate.change)
    reason = f"{len(pairs)} of {rows} requests answered"
    if refused:
        reason += f" (first refusal: {refused[0]})"
    if change is not None:
        reason += f", {_UNITS[task].format(change)} from the champion"
    return GateResult(
        gate=name,
        passed=within and len(refused) <= gate.failed * rows,
        reason=reason,
        facts={"rows": rows, "refused": len(refused), "change": change},
    )


_UNITS: dict[Task, str] = {
    "binary": "on average {:.3g} in probability",
    "regression": "on average {:.3g} standard deviations",
    "multiclass": "{:.1%} in another class,",
}


def _change(pairs: Sequence[tuple[Any, Any]], task: Task) -> float | None:
    """Return how far answers are apart on average; None where none were given."""
    if not pairs:
        return None
    if task == "multiclass":
        return sum(bool(before != now) for before, now in pairs) / len(pairs)
    apart: float = statistics.fmean(abs(before - now) for before, now in pairs)
    if task == "binary":
        return apart
    spread: float = statistics.pstdev([before for before, _ in pairs])
    return apart / spread if spread else apart
