"""The gateway's own counters.

Plain integers in dictionaries: an increment costs a tenth of a client library's on the hot path.
`FAMILIES` says what each is called and how those of several workers become one; `exposition.py`
writes them for Prometheus.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns, time_ns
from typing import Any, Final, Literal, TypeAlias

from onward.core.records import Materialized, ViewPlan
from onward.stages.serve.gateway.metrics.progress import Progress
from onward.stages.serve.log.writer import PredictionLog

BUCKETS_S: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
"""Upper bounds of the latency histograms, in seconds."""

_BOUNDS_NS: Final = tuple(int(b * 1e9) for b in BUCKETS_S)

Labels: TypeAlias = tuple[str, ...]
Samples: TypeAlias = dict[str, dict[Labels, float]]
"""What a worker counted: by family, by the labels' values in the family's order. A histogram has
a further label, the bucket's number; ``sum`` is that of its sum in seconds."""


class Histogram:
    """Durations of one kind, counted by bucket."""

    __slots__ = ("buckets", "ns")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.ns = 0

    def add(self, ns: int) -> None:
        """Count one duration, in nanoseconds."""
        self.buckets[bisect_left(_BOUNDS_NS, ns)] += 1
        self.ns += ns

    def samples(self, labels: Labels) -> dict[Labels, float]:
        """Return the buckets that count anything, and the sum."""
        found: dict[Labels, float] = {
            (*labels, str(number)): count for number, count in enumerate(self.buckets) if count
        }
        found[*labels, "sum"] = self.ns / 1e9
        return found


class Metrics:
    """What the gateway counts. Latency runs from a request's last byte to its answer."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.predictions: Counter[tuple[str, int, str, int]] = Counter()
        self.latency: dict[str, Histogram] = {}
        self.arms: dict[tuple[str, int, str], Histogram] = {}
        self.refused: Counter[str] = Counter()
        self.routes: Mapping[str, str] = {}
        self.refused_routes: dict[str, tuple[str, str | None]] = {}  # why, and their version
        self.route_changes = 0
        self.log_failures = 0
        self.log_failing = False
        self.log: PredictionLog | None = None
        self.unlogged: Counter[str] = Counter()
        self.online_reads = 0
        self.online_failures = 0
        self.untold: Callable[[], dict[str, int]] = dict
        self.shadows: Callable[[], Mapping[str, Progress]] = dict
        self.waiting = 0
        self.waiting_bytes = 0
        self.connections: Callable[[], int] = int
        self.models: Callable[[], Sequence[tuple[str, int, int]]] = list
        self.model_loads: dict[str, Histogram] = {}
        self.model_limit = 0
        self.models_over = False
        self.certificate_expires: float | None = None
        self.evictions: Counter[str] = Counter()
        self.views: Sequence[tuple[ViewPlan, Materialized | None]] = ()

    def answered(self, route: str, status: int, elapsed_ns: int, admitted: int) -> None:
        """Count one answered request; `admitted` is its `Job.admitted`."""
        if admitted >= 0:
            self.waiting -= 1
            self.waiting_bytes -= admitted
        self.requests[route, status] += 1
        histogram = self.latency.get(route)
        if histogram is None:
            histogram = self.latency[route] = Histogram()
        histogram.add(elapsed_ns)

    def arm(self, model: str, version: int, arm: str) -> Histogram:
        """Return where the latencies of an arm's predictions are counted."""
        found = self.arms.get((model, version, arm))
        if found is None:
            found = self.arms[model, version, arm] = Histogram()
        return found

    def model_loaded(self, model: str, elapsed_ns: int) -> None:
        """Count one load of a version."""
        self.model_loads.setdefault(model, Histogram()).add(elapsed_ns)

    def samples(self) -> Samples:
        """Return everything that was counted."""
        return {family.name: family.read(self) for family in FAMILIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric: its name, what is said of it, and where its values are.

    `over` is how the values of several workers become one: what is counted is added up, of what is
    seen alike by all the greatest counts.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    read: Callable[[Metrics], dict[Labels, float]]
    labels: Labels = ()
    over: Literal["sum", "max"] = "sum"


def _keyed(counts: Mapping[Any, int]) -> dict[Labels, float]:
    return {tuple(map(str, key)): count for key, count in counts.items()}


def _one(value: float) -> dict[Labels, float]:
    return {(): value}


def _of_log(metrics: Metrics, read: Callable[[PredictionLog], float]) -> dict[Labels, float]:
    return _one(0 if metrics.log is None else read(metrics.log))


def _histograms(found: Mapping[Labels, Histogram]) -> dict[Labels, float]:
    return {k: v for labels, each in found.items() for k, v in each.samples(labels).items()}


def _marks(metrics: Metrics, read: Callable[[Materialized], float | None]) -> dict[Labels, float]:
    return {
        (view.name, str(view.version)): value
        for view, mark in metrics.views
        if mark is not None and (value := read(mark)) is not None
    }


FAMILIES: Final = (
    Family(
        name="onward_requests_total", kind="counter", labels=("route", "status"),
        about="Requests answered, by route and status.", read=lambda m: _keyed(m.requests),
    ),
    Family(
        name="onward_request_latency_seconds", kind="histogram", labels=("route",),
        about="From a request's last byte to its answer.",
        read=lambda m: _histograms({(route,): each for route, each in m.latency.items()}),
    ),
    Family(
        name="onward_predictions_total", kind="counter",
        labels=("model", "version", "arm", "status"),
        about="Rows answered, by model, arm and status.", read=lambda m: _keyed(m.predictions),
    ),
    Family(
        name="onward_prediction_latency_seconds", kind="histogram",
        labels=("model", "version", "arm"),
        about="From a request's last byte until its rows for the arm were predicted.",
        read=lambda m: _histograms({(n, str(v), arm): h for (n, v, arm), h in m.arms.items()}),
    ),
    Family(
        name="onward_requests_refused_total", kind="counter", labels=("reason",),
        about="Requests refused before they were predicted, by reason.",
        read=lambda m: {(reason,): count for reason, count in m.refused.items()},
    ),
    Family(
        name="onward_requests_waiting", kind="gauge",
        about="Requests accepted and not answered.", read=lambda m: _one(m.waiting),
    ),
    Family(
        name="onward_requests_waiting_bytes", kind="gauge",
        about="The bodies of requests accepted and not answered.",
        read=lambda m: _one(m.waiting_bytes),
    ),
    Family(
        name="onward_connections", kind="gauge", about="Open connections.",
        read=lambda m: _one(m.connections()),
    ),
    Family(
        name="onward_workers", kind="gauge", labels=("state",),
        about="Workers by how they stand.", read=lambda _: {},
    ),
    Family(
        name="onward_worker_restarts_total", kind="counter", labels=("slot",),
        about="Workers that ended by themselves and were started again.", read=lambda _: {},
    ),
    Family(
        name="onward_features_newest_timestamp_seconds", kind="gauge", labels=("view", "version"),
        about="The newest event time online, by view.", over="max",
        read=lambda m: _marks(m, lambda mark: mark.newest.timestamp() if mark.newest else None),
    ),
    Family(
        name="onward_features_materialized_timestamp_seconds", kind="gauge",
        labels=("view", "version"), about="When the view was last written online.", over="max",
        read=lambda m: _marks(m, lambda mark: mark.at.timestamp()),
    ),
    Family(
        name="onward_prediction_log_bytes_total", kind="counter",
        about="Bytes written to the log.", read=lambda m: _of_log(m, lambda log: log.position),
    ),
    Family(
        name="onward_prediction_log_flushes_total", kind="counter",
        about="Flushes of the log to the disk.",
        read=lambda m: _of_log(m, lambda log: log.flusher.flushes),
    ),
    Family(
        name="onward_prediction_log_flush_failures_total", kind="counter",
        about="Flushes of the log that failed.",
        read=lambda m: _of_log(m, lambda log: log.flusher.failures),
    ),
    Family(
        name="onward_prediction_log_failing", kind="gauge",
        about="Workers whose last write or flush of the log failed, or does not come back.",
        read=lambda m: _one(
            int(m.log_failing or (m.log is not None and m.log.flusher.failing(perf_counter_ns())))
        ),
    ),
    Family(
        name="onward_predictions_unlogged_total", kind="counter", labels=("model",),
        about="Rows answered without being logged, as the log failed.",
        read=lambda m: {(model,): n for model, n in m.unlogged.items()},
    ),
    Family(
        name="onward_prediction_log_failures_total", kind="counter",
        about="Writes to the log that failed.", read=lambda m: _one(m.log_failures),
    ),
    Family(
        name="onward_telemetry_dropped_total", kind="counter", labels=("kind",),
        about="Requests that the access log or the traces could not tell of.",
        read=lambda m: _keyed({(kind,): n for kind, n in m.untold().items()}),
    ),
    Family(
        name="onward_shadow_rows_total", kind="counter", labels=("model", "outcome"), over="max",
        about="Rows of the champion that a shadow answered, or passed over: they came as features, "
        "and its own are others.",
        read=lambda m: {
            (model, outcome): count
            for model, told in m.shadows().items()
            for outcome, count in (("answered", told.answered), ("passed_over", told.passed_over))
        },
    ),
    Family(
        name="onward_shadow_behind_seconds", kind="gauge", labels=("model",), over="max",
        about="How long ago a shadow had last answered all that its champion had.",
        read=lambda m: {
            (model,): told.behind_s(time_ns()) for model, told in m.shadows().items()
        },
    ),
    Family(
        name="onward_online_reads_total", kind="counter",
        about="Reads of the online store, each for all requests of a turn of the loop.",
        read=lambda m: _one(m.online_reads),
    ),
    Family(
        name="onward_online_failures_total", kind="counter",
        about="Reads of the online store that failed or came too late.",
        read=lambda m: _one(m.online_failures),
    ),
    Family(
        name="onward_model_bytes", kind="gauge", labels=("model", "version"),
        about="Memory of each version that is loaded, as measured then, in all workers.",
        read=lambda m: {(name, str(version)): size for name, version, size in m.models()},
    ),
    Family(
        name="onward_models_loaded", kind="gauge",
        about="Versions in memory, in all workers.", read=lambda m: _one(len(m.models())),
    ),
    Family(
        name="onward_model_bytes_limit", kind="gauge",
        about="How much the versions in memory may take in all workers; 0 is any.",
        read=lambda m: _one(m.model_limit),
    ),
    Family(
        name="onward_models_over_limit", kind="gauge",
        about="Workers whose routes alone need more memory than the limit.",
        read=lambda m: _one(int(m.models_over)),
    ),
    Family(
        name="onward_model_load_seconds", kind="histogram", labels=("model",),
        about="How long loading a version took.",
        read=lambda m: _histograms({(model,): each for model, each in m.model_loads.items()}),
    ),
    Family(
        name="onward_model_evictions_total", kind="counter", labels=("model",),
        about="Versions that were let go to make room for others.",
        read=lambda m: {(model,): count for model, count in m.evictions.items()},
    ),
    Family(
        name="onward_certificate_expires_timestamp_seconds", kind="gauge", over="max",
        about="When the certificate that is shown is no longer valid.",
        read=lambda m: {} if m.certificate_expires is None else _one(m.certificate_expires),
    ),
    Family(
        name="onward_route_changes_total", kind="counter", about="Routes taken into service.",
        read=lambda m: _one(m.route_changes),
    ),
    Family(
        name="onward_routes_info", kind="gauge", labels=("model", "version"), over="max",
        about="The version of each model's routes in service.",
        read=lambda m: dict.fromkeys(m.routes.items(), 1),
    ),
    Family(
        name="onward_routes_refused", kind="gauge", labels=("model",), over="max",
        about="Models whose newest routes were refused.",
        read=lambda m: {(model,): 1 for model in m.refused_routes},
    ),
)  # fmt: skip
