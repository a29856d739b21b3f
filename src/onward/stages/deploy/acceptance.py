"""What an image must show on staging before it may serve anyone."""

from __future__ import annotations

import http.client
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from onward.core.estimator import class_name
from onward.core.records import FeaturePlan, GateResult
from onward.stages.deploy.config import Latency, Load, Replay
from onward.stages.deploy.load import bear
from onward.stages.deploy.replay import Answered, replay
from onward.stages.deploy.staged import Staged, ask, jsonable, percentile, request_rows

_ANSWER: Final = {
    "binary": "probability",
    "multiclass": "probabilities",
    "regression": "prediction",
}
_WARM_UP: Final = 30


def checks(staged: Staged, acceptance: Sequence[Latency | Load]) -> tuple[GateResult, ...]:
    """Hold the staged image to its schema, its golden rows, bad input, each latency and load."""
    trained = Path(staged.image.model.path)
    planned = json.loads((trained / "plan.json").read_bytes())
    golden = json.loads((trained / "golden.json").read_bytes())
    asked: list[tuple[str, Callable[[], GateResult]]] = [
        ("schema", lambda: _schema(staged, planned)),
        ("golden predictions", lambda: _golden(staged, planned, golden)),
        ("request rows", lambda: _requests(staged, planned, golden)),
        ("malformed input", lambda: _malformed(staged)),
    ]
    for gate in acceptance:
        name, check = _named(gate)
        asked.append((name, partial(check, staged, golden, gate, name)))
    return tuple(answered(name, check) for name, check in asked)


def _named(gate: Latency | Load) -> tuple[str, Callable[..., GateResult]]:
    if isinstance(gate, Load):
        return f"load: {gate.connections} connections, p99 ≤ {gate.p99_ms:g} ms", bear
    return f"latency: p99 ≤ {gate.p99_ms:g} ms", _latency


def replayed(staged: Staged, past: Sequence[Answered], gate: Replay) -> GateResult:
    """Hold the staged image beside what the champion answered."""
    planned = json.loads((Path(staged.image.model.path) / "plan.json").read_bytes())
    name = f"replay: {gate.rows:,} requests"
    plan = msgspec.convert(planned["plan"], FeaturePlan)
    return answered(name, lambda: replay(staged, past, gate, name, plan=plan, task=planned["task"]))


def answered(name: str, check: Callable[[], GateResult]) -> GateResult:
    """A check that gets no answer, or none that it can read, has failed: the gateway is judged."""
    try:
        return check()
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        reason = f"staging did not answer: {type(error).__name__}: {error}"
        return GateResult(gate=name, passed=False, reason=reason)


def _schema(staged: Staged, planned: Mapping[str, Any]) -> GateResult:
    status, found = staged.ask(staged.path)
    columns = planned["plan"]["columns"]
    expected = [(c["name"], "BYTES" if c["dtype"] == "string" else "FP64") for c in columns]
    inputs = [(i["name"], i["datatype"]) for i in found.get("inputs", ())]
    outputs = [o["name"] for o in found.get("outputs", ())]
    version = str(staged.image.model.version)
    if status != http.client.OK or inputs != expected:
        odd = [name for name, kind in expected if (name, kind) not in inputs] or "their order"
        reason = f"the inputs are not the plan's {len(expected)} features: {odd}"
    elif version not in found["versions"] or _ANSWER[planned["task"]] not in outputs:
        reason = f"versions {found['versions']}, outputs {outputs} are not those of {version}"
    else:
        reason = f"{len(inputs)} inputs, in the plan's order, and outputs {', '.join(outputs)}"
        return GateResult(gate="schema", passed=True, reason=reason)
    return GateResult(gate="schema", passed=False, reason=reason)


def _golden(staged: Staged, planned: Mapping[str, Any], golden: Mapping[str, Any]) -> GateResult:
    name, expected = "golden predictions", _flat(golden["predictions"])
    if not expected:
        return GateResult(gate=name, passed=False, reason="training left no golden rows")
    body = _tensors(planned["plan"]["columns"], golden["features"])
    status, found = staged.ask(f"{staged.path}/infer", body)
    if status != http.client.OK:
        return GateResult(gate=name, passed=False, reason=f"status {status}: {found.get('error')}")
    wanted = _ANSWER[planned["task"]]
    [answered] = [o["data"] for o in found["outputs"] if o["name"] == wanted]
    apart = _apart(answered, expected)
    rows, tolerance = len(golden["predictions"]), golden["tolerance"]
    passed = apart <= tolerance
    verdict = "agree with training within" if passed else "do not agree with training within"
    return GateResult(
        gate=name,
        passed=passed,
        reason=f"{rows} rows {verdict} {tolerance:g} (largest difference {apart:.2g})",
        facts={"rows": rows, "largest": apart},
    )


def _requests(staged: Staged, planned: Mapping[str, Any], golden: Mapping[str, Any]) -> GateResult:
    """Request rows go through on-demand functions and views, and must come out as in training.

    Staging's views hold an entity's features as its last golden row has them: earlier rows about
    the same entity must be answered, and may differ.
    """
    name, rows = "request rows", golden["rows"]
    status, found = staged.ask(f"{staged.path}/predict", request_rows(rows))
    entries = found.get("predictions", [])
    failed = [entry for entry in entries if "output" not in entry]
    if status != http.client.OK or failed or len(entries) != len(rows):
        why = found.get("error") or (failed[0].get("error") if failed else "rows are missing")
        reason = f"status {status}: {why}"
        return GateResult(gate=name, passed=False, reason=reason)
    classes = [class_name(value) for value in planned["classes"] or ()]
    last = {
        _entity(view, row): at for at, row in enumerate(rows) for view in planned["plan"]["views"]
    }
    exact = [
        at
        for at, row in enumerate(rows)
        if all(last[_entity(view, row)] == at for view in planned["plan"]["views"])
    ]
    off = [
        at
        for at in exact
        if _apart(_figures(entries[at]["output"], classes), _flat([golden["predictions"][at]]))
        > golden["tolerance"]
    ]
    reason = (
        f"{len(off)} of {len(exact)} rows differ from training's, first {rows[off[0]]}"
        if off
        else f"{len(rows)} rows answered, {len(exact)} of them comparable and as in training"
    )
    return GateResult(gate=name, passed=not off, reason=reason)


def _entity(view: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (view["name"], *(row[column] for column in view["entity"]))


def _apart(answered: Sequence[float], expected: Sequence[float]) -> float:
    """Return the largest difference; infinite where one is no number."""
    differences = [abs(a - b) / max(1.0, abs(b)) for a, b in zip(answered, expected, strict=True)]
    return math.inf if any(map(math.isnan, differences)) else max(differences)


def _malformed(staged: Staged) -> GateResult:
    unknown = {"name": "?", "shape": [1], "datatype": "FP64", "data": [1]}
    bodies = {
        "no JSON": b"{",
        "no inputs": b'{"inputs": []}',
        "an unknown input": json.dumps({"inputs": [unknown]}).encode(),
        "no body": b"",
    }  # fmt: skip
    answers = {what: staged.ask(f"{staged.path}/infer", body) for what, body in bodies.items()}
    answers["no rows"] = staged.ask(f"{staged.path}/predict", b'{"rows": []}')
    answers["an unknown model"] = staged.ask("/v2/models/no_such_model/infer", b"{}")
    wrong = [
        f"{what}: {status}"
        for what, (status, found) in answers.items()
        if not 400 <= status < 500 or not found.get("error")
    ]
    reason = f"taken, or refused without a reason: {', '.join(wrong)}" if wrong else (
        f"{len(answers)} kinds are refused with a reason"
    )  # fmt: skip
    return GateResult(gate="malformed input", passed=not wrong, reason=reason)


def _latency(staged: Staged, golden: Mapping[str, Any], gate: Latency, name: str) -> GateResult:
    """Time `gate.requests` single rows on one connection, after a warm-up."""
    rows = golden["rows"]
    bodies = [request_rows([row]) for row in rows]
    connection = staged.connect()
    seconds: list[float] = []
    try:
        for number in range(_WARM_UP + gate.requests):
            begun = time.perf_counter()
            status, _ = ask(connection, f"{staged.path}/predict", bodies[number % len(bodies)])
            if status != http.client.OK:
                return GateResult(gate=name, passed=False, reason=f"a row got status {status}")
            if number >= _WARM_UP:
                seconds.append(time.perf_counter() - begun)
    finally:
        connection.close()
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    return GateResult(
        gate=name,
        passed=p99 <= gate.p99_ms,
        reason=f"p99 {p99:.2f} ms, p50 {p50:.2f} ms over {len(seconds)} single rows",
        facts={"p50_ms": p50, "p99_ms": p99, "requests": len(seconds)},
    )


def _tensors(columns: Sequence[Mapping[str, str]], rows: Sequence[Sequence[Any]]) -> bytes:
    inputs = []
    for position, column in enumerate(columns):
        text = column["dtype"] == "string"
        data = [jsonable(row[position]) for row in rows]
        kind = "BYTES" if text else "FP64"
        inputs.append(
            {"name": column["name"], "shape": [len(rows)], "datatype": kind, "data": data}
        )
    return json.dumps({"inputs": inputs}).encode()


def _figures(output: Any, classes: Sequence[str]) -> list[float]:
    """Return what was answered of a row in the order in which training has it."""
    return [output[name] for name in classes] if isinstance(output, dict) else [output]


def _flat(values: Sequence[Any]) -> list[float]:
    return [float(f) for v in values for f in (v if isinstance(v, list) else [v])]
