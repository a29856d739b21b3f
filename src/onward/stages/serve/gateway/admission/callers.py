"""Who calls, whether they may, and whether too often: asked before a request is let in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

from onward.core.errors import DeniedError
from onward.core.ports.callers import Callers
from onward.core.records.access import Identity
from onward.stages.serve.gateway.admission.rates import Rates
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.routing.job import Job
from onward.stages.serve.gateway.settings import CallerConfig, GatewayConfig

AUTHORIZATION: Final = b"authorization"

TRUST_S: Final = 10.0
"""How long a token that was good is taken for good without asking again."""

_KEPT: Final = 4096

_ACTIONS: Final = {"feedback": "feedback", "metrics": "observe", "routes": "observe"}
"""What a route needs a permission for, where it is not to ``predict``."""


class _Known:
    """Who has shown a token, until when it is taken for good, and what they may."""

    __slots__ = ("identity", "may", "until")

    def __init__(self, identity: Identity, until: float) -> None:
        self.identity, self.until = identity, until
        self.may: dict[tuple[str, str], bool] = {}


class Gate:
    """Knows callers, and lets them pass or not.

    Parameters
    ----------
    knower
        Whose tokens are whose; None lets everybody pass, unnamed.
    """

    def __init__(
        self, config: CallerConfig, knower: Callers | None, metrics: Metrics, state: Path
    ) -> None:
        self._config = config
        self._knower = knower
        self._metrics = metrics
        self._known: dict[bytes, _Known] = {}
        self._rates = None
        if config.per_s:
            burst = config.burst or max(1, round(config.per_s))
            self._rates = Rates(config.per_s, burst, state / "rates")

    def let(self, job: Job, model: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the request may go on; if not, it has its answer: 401, 403 or 429.

        `model` is the one that is asked for, empty where none is.
        """
        if job.route in self._config.open:
            return True
        if self._knower is not None and not self._knows(job, model, headers):
            return False
        return self._rates is None or self._in_time(job, self._rates)

    def close(self) -> None:
        """Let go of what knows callers, and of their buckets."""
        if self._knower is not None:
            self._knower.close()
        if self._rates is not None:
            self._rates.close()

    # ------------------------------------------------------------ who

    def _knows(self, job: Job, model: str, headers: Mapping[bytes, bytes]) -> bool:
        shown = headers.get(AUTHORIZATION, b"")
        known = self._known.get(shown)
        if known is None or known.until < time.monotonic():
            try:
                known = self._identify(shown)
            except DeniedError as error:
                self._refuse(job, 401, str(error))
                problem = b', error="invalid_token"' if shown else b""
                job.headers += b'\r\nWWW-Authenticate: Bearer realm="onward"' + problem
                return False
        job.who = known.identity.name
        action = _ACTIONS.get(job.route, "predict")
        target = model or job.route
        may = known.may.get((action, target))
        if may is None:
            may = known.may[action, target] = self._may(known.identity, action, target)
        if not may:
            self._refuse(job, 403, f"{job.who} may not {action} {target}")
        return may

    def _identify(self, shown: bytes) -> _Known:
        self._known.pop(shown, None)
        kind, _, token = shown.decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise DeniedError("the request does not say who calls: Authorization: Bearer TOKEN")
        assert self._knower is not None
        identity = self._knower.identify(token.strip())
        trusted = min(TRUST_S, identity.expires - time.time_ns() / 1e9)
        if len(self._known) >= _KEPT:
            self._known.clear()
        known = self._known[shown] = _Known(identity, time.monotonic() + trusted)
        return known

    def _may(self, identity: Identity, action: str, target: str) -> bool:
        config = self._config
        if identity.trusted or config.roles is None:
            return True
        roles = set(identity.roles) & config.roles.keys()
        for role, members in config.members.items():
            if any(fnmatchcase(identity.name, pattern) for pattern in members):
                roles.add(role)
        patterns = (p for role in roles for p in config.roles[role].get(action, ()))
        return any(fnmatchcase(target, pattern) for pattern in patterns)

    # ------------------------------------------------------------ how often

    def _in_time(self, job: Job, rates: Rates) -> bool:
        left, wait_ns = rates.take(job.who or job.caller.peer(), job.started)
        seconds = -(-wait_ns // 1_000_000_000)
        job.headers += b'\r\nRateLimit-Policy: %b\r\nRateLimit: "caller";r=%d;t=%d' % (
            rates.policy, max(0, left), seconds,
        )  # fmt: skip
        if left >= 0:
            return True
        self._refuse(job, 429, f"{job.who or 'this address'} calls too often")
        job.headers += b"\r\nRetry-After: %d" % seconds
        return False

    def _refuse(self, job: Job, status: int, reason: str) -> None:
        self._metrics.refused[_REASONS[status]] += 1
        job.ready(status, msgspec.json.encode({"error": reason}))


_REASONS: Final = {401: "unknown", 403: "denied", 429: "rate"}


def gate_of(config: GatewayConfig, metrics: Metrics) -> Gate | None:
    """Return the gate that a gateway's configuration asks for, None if it asks for none."""
    callers = config.callers
    if callers is None:
        return None
    knower = None if callers.knower is None else callers.knower.make()
    return Gate(callers, knower, metrics, Path(config.state))
