"""The gateway's own counters, in Prometheus' text format.

Plain integers in dictionaries: an increment costs a tenth of a client library's on the hot path.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from onward.core.records import Materialized, ViewPlan

BUCKETS_S: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
"""Upper bounds of the latency histogram, in seconds."""

_BOUNDS_NS: Final = tuple(int(b * 1e9) for b in BUCKETS_S)


class Metrics:
    """What the gateway counts. Latency runs from a request's last byte to its answer."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.predictions: Counter[tuple[str, int, str, int]] = Counter()
        self.latency = [0] * (len(BUCKETS_S) + 1)
        self.latency_ns = 0
        self.refused_routes: dict[str, str] = {}
        self.route_changes = 0
        self.log_failures = 0
        self.online_reads = 0
        self.online_failures = 0
        self.views: Sequence[tuple[ViewPlan, Materialized | None]] = ()

    def answered(self, route: str, status: int, elapsed_ns: int) -> None:
        """Count one answered prediction request."""
        self.requests[route, status] += 1
        self.latency[bisect_left(_BOUNDS_NS, elapsed_ns)] += 1
        self.latency_ns += elapsed_ns

    def text(self, *, log_bytes: int, live: Mapping[str, str]) -> bytes:
        """Return everything as Prometheus text. `live` is each model's routes version."""
        lines = [
            *_family(
                "onward_requests_total", "counter", "Requests answered, by route and status.",
                ((f'route="{r}",status="{s}"', n) for (r, s), n in self.requests.items()),
            ),
            *_family(
                "onward_predictions_total", "counter", "Rows answered, by model, arm and status.",
                (
                    (f'model="{m}",version="{v}",arm="{a}",status="{s}"', n)
                    for (m, v, a, s), n in self.predictions.items()
                ),
            ),
            *self._histogram(),
            *_family(
                "onward_features_newest_timestamp_seconds", "gauge",
                "The newest event time online, by view.",
                (
                    (f'view="{view.name}",version="{view.version}"', mark.newest.timestamp())
                    for view, mark in self.views if mark is not None and mark.newest is not None
                ),
            ),
            *_family(
                "onward_features_materialized_timestamp_seconds", "gauge",
                "When the view was last written online.",
                (
                    (f'view="{view.name}",version="{view.version}"', mark.at.timestamp())
                    for view, mark in self.views if mark is not None
                ),
            ),
            *_family(
                "onward_prediction_log_bytes_total", "counter", "Bytes written to the log.",
                [("", log_bytes)],
            ),
            *_family(
                "onward_prediction_log_failures_total", "counter",
                "Writes to the log that failed.", [("", self.log_failures)],
            ),
            *_family(
                "onward_online_reads_total", "counter",
                "Reads of the online store, each for all requests of a turn of the loop.",
                [("", self.online_reads)],
            ),
            *_family(
                "onward_online_failures_total", "counter",
                "Reads of the online store that failed or came too late.",
                [("", self.online_failures)],
            ),
            *_family(
                "onward_route_changes_total", "counter", "Routes taken into service.",
                [("", self.route_changes)],
            ),
            *_family(
                "onward_routes_info", "gauge", "The version of each model's routes in service.",
                ((f'model="{m}",version="{v}"', 1) for m, v in live.items()),
            ),
            *_family(
                "onward_routes_refused", "gauge", "Models whose newest routes were refused.",
                ((f'model="{m}"', 1) for m in self.refused_routes),
            ),
        ]  # fmt: skip
        return ("\n".join(lines) + "\n").encode()

    def _histogram(self) -> Iterator[str]:
        name = "onward_request_latency_seconds"
        yield f"# HELP {name} From a request's last byte to its answer."
        yield f"# TYPE {name} histogram"
        total = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.latency, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self.latency_ns / 1e9:.9f}"
        yield f"{name}_count {total}"


def _family(
    name: str, kind: str, about: str, samples: Iterable[tuple[str, float]]
) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"
