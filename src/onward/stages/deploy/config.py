"""What a user declares about acceptance on staging, and about where the model is to run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from onward.core.clock import duration
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The staging gateway's 99th percentile, at one connection, in milliseconds."""

    p99_ms: float
    requests: int
    location: Location | None = field(default=None, compare=False)


def latency(*, p99_ms: float, requests: int = 300) -> Latency:
    """The staged image answers single rows within `p99_ms` at the 99th percentile."""
    location = here()
    if p99_ms <= 0 or requests < 1:
        raise DeclarationError(
            f"the latency gate asks for {p99_ms} ms over {requests} requests",
            expected="more than 0 ms, over 1 request or more",
            location=location,
        )
    return Latency(p99_ms=p99_ms, requests=requests, location=location)


_MIG: Final = re.compile(r"mig-\d+g\.\d+gb(\.me)?")
_QUANTITY: Final = re.compile(r"\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?")


@dataclass(frozen=True, slots=True, init=False)
class Kubernetes:
    """How the model's gateway runs where containers are orchestrated.

    `onward deploy render` writes it for Kubernetes, Helm, KServe or Docker Compose; what one of
    them does not know, it leaves out.

    Parameters
    ----------
    replicas
        How many pods at least.
    max_replicas
        How many at most; more than `replicas` scales by load.
    cpu, memory
        What a pod asks for, in Kubernetes' units; of memory it never gets more.
    scale_at_cpu
        The share of the CPU asked for, in percent, above which a pod is added.
    scale_at_requests
        Requests a second and pod above which one is added (by KEDA, from the gateway's metrics);
        it goes before `scale_at_cpu`, and needs `prometheus`.
    prometheus
        The address of the Prometheus that scrapes the pods.
    gpu
        A number of GPUs, or a slice of one such as ``"mig-1g.10gb"``.
    spot
        The label, and taint, of nodes that may go at any time: ``("key", "value")``. Pods prefer
        them and bear them.
    namespace
        Where everything goes; None leaves it to who applies it.
    log
        The size of the volume that the prediction log is kept on, such as ``"20Gi"``, and which all
        pods mount; None keeps it as long as its pod lives.
    storage_class
        The class of that volume.
    secrets
        The name of the Secret whose keys are the gateway's secrets.
    callers
        The labels of the pods that may call; None allows every pod of the namespace.
    """

    replicas: int
    max_replicas: int
    cpu: str
    memory: str
    scale_at_cpu: int
    scale_at_requests: float | None
    prometheus: str | None
    gpu: int | str | None
    spot: tuple[str, str] | None
    namespace: str | None
    log: str | None
    storage_class: str | None
    secrets: str | None
    callers: Mapping[str, str] | None
    location: Location | None = field(compare=False)

    def __init__(
        self,
        *,
        replicas: int = 2,
        max_replicas: int | None = None,
        cpu: str = "500m",
        memory: str = "1Gi",
        scale_at_cpu: int = 70,
        scale_at_requests: float | None = None,
        prometheus: str | None = None,
        gpu: int | str | None = None,
        spot: tuple[str, str] | None = None,
        namespace: str | None = None,
        log: str | None = None,
        storage_class: str | None = None,
        secrets: str | None = None,
        callers: Mapping[str, str] | None = None,
    ) -> None:
        location, most = here(), replicas if max_replicas is None else max_replicas
        rules = [
            (
                1 <= replicas <= most,
                f"{replicas} to {most} replicas",
                "1 or more, and max_replicas no less",
            ),
            (_is_gpu(gpu), f"gpu is {gpu!r}", 'a number, or a slice such as "mig-1g.10gb"'),
            (
                scale_at_requests is None or (scale_at_requests > 0 and prometheus is not None),
                f"scale_at_requests is {scale_at_requests} with prometheus {prometheus!r}",
                "more than 0, and the address where requests are read from",
            ),
            *(
                (_is_quantity(text), f"{name} is {text!r}", "a quantity such as 500m or 2Gi")
                for name, text in (("cpu", cpu), ("memory", memory), ("log", log))
            ),
        ]
        for holds, what, expected in rules:
            if not holds:
                raise DeclarationError(what, expected=expected, location=location)
        given = {
            "replicas": replicas, "max_replicas": most, "cpu": cpu, "memory": memory,
            "scale_at_cpu": scale_at_cpu, "scale_at_requests": scale_at_requests,
            "prometheus": prometheus, "gpu": gpu, "spot": spot, "namespace": namespace,
            "log": log, "storage_class": storage_class, "secrets": secrets, "callers": callers,
            "location": location,
        }  # fmt: skip
        for name, value in given.items():
            object.__setattr__(self, name, value)


def _is_gpu(gpu: int | str | None) -> bool:
    return gpu is None or (gpu > 0 if isinstance(gpu, int) else bool(_MIG.fullmatch(gpu)))


def _is_quantity(text: str | None) -> bool:
    return text is None or bool(_QUANTITY.fullmatch(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the staging gateway bears: `connections` at once, for `seconds`.

    `errors` is the share of requests that may fail; `at_least` the answers per second that must
    come, None for any number.
    """

    connections: int
    seconds: float
    p99_ms: float
    errors: float
    at_least: float | None
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What the champion answered in the last `window`, asked again of the staged image.

    `rows` of it at most. `failed` is the share of them that the staged image may give no answer
    to; `change` how far its answers may be from the champion's on average, None for any distance.
    """

    rows: int
    window: timedelta
    failed: float
    change: float | None
    location: Location | None = field(default=None, compare=False)


Acceptance = Latency | Load | Replay


def under_load(
    *,
    p99_ms: float,
    connections: int = 16,
    seconds: float = 3.0,
    errors: float = 0.0,
    at_least: float | None = None,
) -> Load:
    """The staged image bears load: golden rows on many connections, each asking as fast as it can.

    Passed where the 99th percentile stays within `p99_ms`, no more than the share `errors` fails,
    and `at_least` answers come per second. The callers share the machine with the gateway.
    """
    location = here()
    if p99_ms <= 0 or connections < 1 or seconds <= 0 or not 0 <= errors < 1:
        raise DeclarationError(
            f"the load is {connections} connections for {seconds} s, p99 within {p99_ms} ms,"
            f" {errors:.0%} errors",
            expected="1 connection or more, for more than 0 s, more than 0 ms, a share below 1",
            location=location,
        )
    return Load(
        connections=connections,
        seconds=seconds,
        p99_ms=p99_ms,
        errors=errors,
        at_least=at_least,
        location=location,
    )


def replayed(
    *,
    rows: int = 500,
    window: str | timedelta = "1d",
    failed: float = 0.0,
    change: float | None = None,
) -> Replay:
    """The staged image answers what the champion was asked lately, and not all too differently.

    Up to `rows` of the requests that the champion answered in the last `window` are asked of the
    staged image, as of their own times and with production's online features. Passed where no more
    than the share `failed` gets no answer, and where the answers differ by no more than `change`
    on average: in probability, in standard deviations of the champion's values, or, of classes, as
    the share that is another one. With nothing to replay it is passed, and says so.
    """
    location = here()
    if rows < 1 or not 0 <= failed < 1 or (change is not None and change <= 0):
        raise DeclarationError(
            f"the replay is of {rows} rows, with {failed:.0%} failed and a change of {change}",
            expected="1 row or more, a share below 1, a change above 0",
            location=location,
        )
    return Replay(
        rows=rows,
        window=duration(window, location),
        failed=failed,
        change=change,
        location=location,
    )
