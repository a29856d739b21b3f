"""What a gateway process is told when it starts, as one JSON file."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from onward.core.errors import DeclarationError
from onward.core.records import ImageRef, Logging
from onward.stages.serve.gateway.limits import Limits


class Factory(msgspec.Struct, frozen=True):
    """A function by its name, ``module:function``, and its arguments: how the gateway opens
    adapters that it must not import.
    """

    entry: str
    arguments: dict[str, Any] = {}

    def make(self) -> Any:
        """Import the function, call it, return what it gives."""
        module, _, name = self.entry.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise DeclarationError(
                f"{self.entry!r} cannot be imported: {error}", expected="'module:function'"
            ) from None
        return function(**self.arguments)


class CallerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may call.

    Parameters
    ----------
    knower
        Opens what knows callers by their tokens; None asks nobody who they are.
    roles
        What each role may do: by action (``predict``, ``feedback``, ``observe``) the patterns of
        its targets; None lets every caller who is known do everything.
    members
        Patterns of the names of each role's members.
    open
        Kinds of paths that nobody is asked at: ``health``, ``metrics``, ``routes``, ``server`` …
    per_s, burst
        How many requests a second a caller may make, and how many at once; 0 is no limit, and as
        many as in a second.
    """

    knower: Factory | None = None
    roles: dict[str, dict[str, tuple[str, ...]]] | None = None
    members: dict[str, tuple[str, ...]] = {}
    open: tuple[str, ...] = ("health",)
    per_s: float = 0.0
    burst: int = 0


class TelemetryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told of requests beside metrics.

    Parameters
    ----------
    access_log
        The file that gets a line of JSON for each; None for none.
    access_ratio
        The share of requests that get a line; those that failed (5xx) always do.
    exporter
        Opens what sends traces; None for none.
    trace_ratio
        The share of requests whose traces are recorded, of those whose caller did not decide.
    """

    access_log: str | None = None
    access_ratio: float = 1.0
    exporter: Factory | None = None
    trace_ratio: float = 0.01


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files, in PEM, of what connections are encrypted with.

    Parameters
    ----------
    certificate, key
        The certificate, followed by those that it hangs on, and its key.
    client_cas
        Certificates that those of clients must hang on; without any, clients need none.
    """

    certificate: str
    key: str
    client_cas: tuple[str, ...] = ()


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway's configuration.

    Parameters
    ----------
    state
        A folder of its own: ``address``, the unpacked images.
    host, port
        Where to listen; port 0 takes a free one.
    grpc_port
        Where to listen for gRPC; 0 does not.
    routes
        The folder of routes files to follow, or
    image
        one image to serve alone, or
    model
        an unpacked image's ``/opt/onward``, as inside a container.
    predictions
        The log's folder; None logs nothing.
    online
        Opens the online store; without one every view's rows are missing.
    online_timeout_s
        How long a lookup in a remote store may take before its rows are refused.
    masks
        Opens what masks a request's columns as training saw them; without it they must come
        masked.
    golden_views
        Staging: views answer with what the image's golden rows were trained on.
    clock
        ``request`` takes the time from each request's ``onward-event-time`` header (a replay).
    logging
        How models whose routes do not say it are logged.
    log_bound_s
        How old, in seconds, what is logged may become before it is on the disk.
    drain_s
        How long to wait, at the end, for requests under way.
    parent
        The process whose end ends the gateway too.
    poll_s
        Seconds between two looks at the routes.
    max_body_bytes
        Larger requests get 413.
    workers
        Processes that share the port. One is the gateway itself; more run under a supervisor.
    telemetry
        What is told of requests beside metrics; None for nothing.
    callers
        Who may call, and how often; None lets everybody.
    tls
        What connections are encrypted with, over HTTP and gRPC; None for plain ones.
    limits
        How much it takes on at once, and how long it waits for slow clients.
    """

    state: str
    host: str = "127.0.0.1"
    port: int = 0
    grpc_port: int = 0
    routes: str | None = None
    image: ImageRef | None = None
    model: str | None = None
    predictions: str | None = None
    online: Factory | None = None
    online_timeout_s: float = 0.25
    masks: Factory | None = None
    golden_views: bool = False
    clock: Literal["system", "request"] = "system"
    logging: Logging = Logging()
    log_bound_s: float = 0.02
    drain_s: float = 5.0
    parent: int | None = None
    poll_s: float = 0.1
    max_body_bytes: int = 8 << 20
    workers: int = 1
    telemetry: TelemetryConfig | None = None
    callers: CallerConfig | None = None
    tls: TlsConfig | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if sum(x is not None for x in (self.routes, self.image, self.model)) != 1:
            raise ValueError("give one of `routes`, `image` and `model`")
        if self.workers < 1:
            raise ValueError("there is one worker at least")
        if self.golden_views and (self.image is None or self.online is not None):
            raise ValueError("`golden_views` goes with `image`, and without `online`")


def read_config(path: Path) -> GatewayConfig:
    """Read a configuration file.

    Raises
    ------
    DeclarationError
        It is missing, or says something that no gateway understands.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=GatewayConfig)
    except (OSError, msgspec.DecodeError) as error:
        raise DeclarationError(
            f"the gateway's configuration {path} cannot be used: {error}",
            expected="the JSON form of GatewayConfig",
        ) from None
