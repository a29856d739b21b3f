"""A staged image under load: many callers at once, each asking again when it is answered."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from typing import Any

from onward.core.records import GateResult
from onward.stages.deploy.config import Load
from onward.stages.deploy.staged import Staged, ask, percentile, request_rows


def bear(staged: Staged, golden: Mapping[str, Any], gate: Load, name: str) -> GateResult:
    """Ask single golden rows on `gate.connections` for `gate.seconds`, and judge the answers."""
    bodies = [request_rows([row]) for row in golden["rows"]]
    took: list[float] = []
    failures: list[str] = []
    start = threading.Barrier(gate.connections)

    def call(first: int) -> None:
        connection = staged.connect()
        start.wait()
        end = time.perf_counter() + gate.seconds
        number = first
        try:
            while (began := time.perf_counter()) < end:
                body = bodies[number % len(bodies)]
                number += 1
                try:
                    status, found = ask(connection, f"{staged.path}/predict", body)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    failures.append(f"{type(error).__name__}: {error}")
                    connection.close()
                    continue
                if status == http.client.OK:
                    took.append(time.perf_counter() - began)
                else:
                    failures.append(f"status {status}: {found.get('error')}")
        finally:
            connection.close()

    threads = [threading.Thread(target=call, args=(n,)) for n in range(gate.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _judged(took, failures, gate, name)


def _judged(took: list[float], failures: list[str], gate: Load, name: str) -> GateResult:
    if not took:
        reason = f"nothing was answered; first {failures[0] if failures else 'no request'}"
        return GateResult(gate=name, passed=False, reason=reason)
    asked = len(took) + len(failures)
    share, rate, p99 = len(failures) / asked, len(took) / gate.seconds, percentile(took, 0.99)
    reason = (
        f"p99 {p99:.2f} ms, {rate:,.0f} answers/s, {len(failures)} of {asked:,} failed"
        f" on {gate.connections} connections"
    )
    if failures:
        reason += f", first: {failures[0]}"
    return GateResult(
        gate=name,
        passed=p99 <= gate.p99_ms and share <= gate.errors and rate >= (gate.at_least or 0),
        reason=reason,
        facts={"p99_ms": p99, "per_second": rate, "requests": asked, "failed": len(failures)},
    )
