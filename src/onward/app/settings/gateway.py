"""Settings of the gateway: the sections of ``onward.toml`` that say how it is operated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """``[gateway]``: where predictions are served, and how they are logged.

    `log` and `on_log_failure` hold for models whose pipeline says nothing (``ow.Serving``).
    `log_bound` is how old what is logged may become before it is on the disk. Segments of the log
    whose rows are all in the lake are deleted `log_keep` after their last row.
    `grpc_port` is where the same protocol is spoken over gRPC; 0 is nowhere.
    `workers` are the processes that share the port; more than one run under a supervisor.
    With `tls_certificate` and `tls_key`, files in PEM (relative to the project), connections are
    encrypted; with `tls_client_ca` clients must show a certificate that hangs on one of its own.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int = 0
    workers: int = 1
    log: Literal["fast", "strict"] = "fast"
    log_bound: timedelta = timedelta(milliseconds=20)
    log_keep: timedelta = timedelta(days=1)
    on_log_failure: Literal["refuse", "serve"] = "refuse"
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """``[telemetry]``: what is told of requests beside ``/metrics``.

    `access_log` is a file (relative to the project) that gets a line of JSON for `access_ratio` of
    the requests, and for all that failed. `otlp` is where traces are sent, such as
    ``http://127.0.0.1:4318/v1/traces``: `trace_ratio` of those whose caller did not decide.
    `service` is the name in them, the project's unless given.
    """

    access_log: str = ""
    access_ratio: float = 1.0
    otlp: str = ""
    trace_ratio: float = 0.01
    service: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerSettings:
    """``[callers]``: who may call the gateway, and how often.

    With `known`, callers must show a token that `onward access token NAME` made, or, with
    `jwt_secret` (a secret's name; HS256) or `jwks` (a file or URL; RS256, ES256), a JWT, whose
    ``aud`` and ``iss`` must be `audience` and `issuer` where given and whose claim `roles` adds
    roles. What they may do is in the pipeline file (`ow.Access`). `open` are the kinds of paths
    that ask nobody, in words: ``health``, ``metrics``, ``routes``, ``server``. `rate` is how many
    requests a second each may make (without `known`, each address), 0 any, and `burst` how many at
    once.
    """

    known: bool = False
    jwt_secret: str = ""
    jwks: str = ""
    audience: str = ""
    issuer: str = ""
    leeway: timedelta = timedelta(seconds=30)
    roles: str = "roles"
    open: str = "health"
    rate: float = 0.0
    burst: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """``[limits]``: how much each of the gateway's workers takes on.

    `waiting` bounds the requests accepted and not answered (429 beyond it), `waiting_bytes` their
    bodies and, beside those, what has arrived of others, `rows` and `body_bytes` a request (413),
    `connections` the open ones (503). A request whose caller names no deadline has `deadline`, or
    none (504 once it passed); one that takes longer than `receive` to arrive gets 408; a connection
    that is silent for `idle`, or takes nothing of its answers, is closed.
    `drain` is how long requests under way may take at the end, `hang` how long a worker may stand
    still before it is ended and another started, 0 for ever. `model_bytes` bounds the memory of
    loaded versions, 0 not at all: those that routes need are loaded in any case, of the others as
    many as have room.
    """

    waiting: int = 1024
    waiting_bytes: int = 256 << 20
    rows: int = 10_000
    body_bytes: int = 8 << 20
    connections: int = 10_000
    deadline: timedelta = timedelta(0)
    receive: timedelta = timedelta(seconds=30)
    idle: timedelta = timedelta(seconds=75)
    drain: timedelta = timedelta(seconds=5)
    hang: timedelta = timedelta(seconds=10)
    model_bytes: int = 0
