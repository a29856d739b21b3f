"""Operational: are answers given, and in time?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from onward.core.records import MonitorResult
from onward.stages.monitor.config import Operational

if TYPE_CHECKING:
    import pyarrow as pa

MINIMUM: Final = 200  # answers, for a 99th percentile that two slow ones do not make
_Z: Final = 1.959963984540054  # the normal distribution's 97.5 % quantile


def operational(monitor: Operational, predictions: pa.Table) -> Iterator[MonitorResult]:
    """Yield the error rate of all answers, and the 99th percentile of the good ones' latency.

    A caller's mistake (status 4xx) is no error of the service's.
    """
    import pyarrow.compute as pc

    status = predictions.column("status")
    failed = pc.sum(pc.greater_equal(status, 500)).as_py() or 0
    yield _errors(monitor, failed, len(status))
    if monitor.p99_ms is not None:
        good = predictions.column("latency_us").filter(pc.equal(status, 200))
        yield _latency(monitor.p99_ms, good)


def _errors(monitor: Operational, failed: int, rows: int) -> MonitorResult:
    low = wilson_low(failed, rows)
    return MonitorResult(
        monitor="operational",
        subject="error rate",
        value=failed / rows if rows else None,
        limit=monitor.max_error_rate,
        breached=low > monitor.max_error_rate,
        detail=f"{failed:,} of {rows:,} answers failed" if rows else "nothing was answered",
    )


def _latency(limit_ms: float, latency_us: pa.ChunkedArray) -> MonitorResult:
    import pyarrow.compute as pc

    rows = len(latency_us)
    value = pc.quantile(latency_us, 0.99)[0].as_py() / 1e3 if rows >= MINIMUM else None
    return MonitorResult(
        monitor="operational",
        subject="p99 latency",
        value=value,
        limit=limit_ms,
        breached=value is not None and value > limit_ms,
        detail=f"{rows:,} answers: {MINIMUM} are needed"
        if value is None
        else f"{value:.2f} ms at the 99th percentile of {rows:,} answers",
    )


def wilson_low(hits: int, rows: int) -> float:
    """Return the lower end of a share's 95 % interval; 0 without rows.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22.
    """
    if not rows:
        return 0.0
    share, z2 = hits / rows, _Z * _Z
    middle = share + z2 / (2 * rows)
    spread = _Z * math.sqrt(share * (1 - share) / rows + z2 / (4 * rows * rows))
    return max(0.0, (middle - spread) / (1 + z2 / rows))
