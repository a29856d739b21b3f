"""The production gateway: starting it, finding it, asking how it stands."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onward.app.gateway.callers import shown, verified
from onward.app.gateway.config import config
from onward.app.settings.sections import Settings
from onward.core.errors import OnwardError
from onward.core.wording import counted
from onward.flow.release.loop import end
from onward.flow.release.releases import current
from onward.flow.site import Folders, Site

if TYPE_CHECKING:
    from onward.core.ports import Server
    from onward.watch.access.config import Access

SETTLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a gateway does not serve routes as they are, and the releases that they are of."""

    reason: str
    releases: frozenset[str]

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs, as its controller sees it."""

    server: Server
    state: Path

    @property
    def routes(self) -> Path:
        """The folder of routes files that it follows."""
        return Folders(self.state).routes

    @property
    def url(self) -> str:
        return self.server.url

    def settle(self, model: str) -> Refusal | None:
        """Wait until the gateway has looked at the model's routes file, as it is by then.

        Returns None once it serves what the file says, share by share, or why it does not: it
        refused to and serves as before, or units are assigned otherwise than was decided.

        Raises
        ------
        CorruptError
            The file cannot be read as routes.
        OnwardError
            It did neither within half a minute.
        """
        import httpx

        from onward.stages.serve.routes import read_routes

        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            wanted, version = read_routes(self.routes / f"{model}.json")  # a run may write it too
            try:
                told = httpx.get(
                    f"{self.url}/routes", headers=shown(self.state), verify=verified(self.state)
                ).json()
            except httpx.HTTPError:  # whoever was asked is gone: another worker answers
                told = {}
            routes = told.get(model, {})
            why = None
            if routes.get("version") == version:
                why = _otherwise(routes["routes"])
                if why is None:
                    return None
            elif routes.get("refused_version") == version:
                why = str(routes["refused"])
            if why is not None:
                return Refusal(why, frozenset(route.release for route in wanted.routes))
            time.sleep(0.02)
        raise OnwardError(
            f"the gateway does not serve {model!r}'s new routes after {SETTLE_S:g} s",
            next_step=f"see {self.routes.parent / 'gateway' / 'gateway.log'}",
        )


def _otherwise(routes: Sequence[Mapping[str, Any]]) -> str | None:
    """Say which arms have other shares than was decided; shares come in hundredths of a percent."""
    wrong = [r for r in routes if abs(r["served"] - r["percent"]) > 0.01 + 1e-9]
    said = ", ".join(f"{r['arm']} {r['served']:g} % instead of {r['percent']:g} %" for r in wrong)
    return f"it gives {said}" if wrong else None


def settle(site: Site, gateway: Gateway, model: str) -> str | None:
    """Wait for the gateway; end a release whose image it refuses, and return why it did."""
    refused = gateway.settle(model)
    active = current(site.ledger, model)
    if refused is None or active is None or active.ended is not None:
        return None
    if active.ref not in refused.releases:  # a run began it a moment ago
        return None
    end(site, active, "rolledback", f"the gateway refused version {active.version}: {refused}")
    gateway.settle(model)
    return refused.reason


def require_free(host: str, port: int) -> None:
    """Refuse a port that the gateway could not have, before anything else takes its time.

    Raises
    ------
    BusyError
        Something else listens on it.
    """
    import socket

    from onward.stages.serve.gateway.protocol.listener import busy

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise busy(host, port) from None


@contextmanager
def serving(
    settings: Settings,
    *,
    clock: Literal["system", "request"] = "system",
    port: int | None = None,
    access: Access | None = None,
) -> Iterator[Gateway]:
    """Run the production gateway; on leaving, drain and end it.

    `access` are the roles of those who call it, where settings say that callers must be known.

    Raises
    ------
    BusyError
        Something else listens on the port.
    """
    from onward.stages.serve.gateway.process.local import start_gateway

    chosen = settings.gateway.port if port is None else port
    server = start_gateway(config(settings, clock=clock, port=chosen, access=access))
    try:
        yield Gateway(server, settings.state)
    finally:
        server.stop()


def address(state: Path) -> str | None:
    """Return the URL of the gateway that runs on this state, None if none does."""
    from onward.stages.serve.gateway.process.local import read_address

    found = read_address(Folders(state).gateway)
    return found.url if found else None


def alerts(url: str, state: Path) -> Mapping[str, str]:
    """Ask a gateway what is wrong with it, and say so in sentences, by what they are about.

    It is asked, as where the disk is full it cannot leave word.
    """
    from urllib.request import Request, urlopen

    try:
        asked = Request(f"{url}/metrics", headers=dict(shown(state)))  # noqa: S310 (its own address)
        with urlopen(asked, timeout=1, context=verified(state)) as answer:  # noqa: S310 (its own address)
            lines = answer.read().decode().splitlines()
    except OSError:  # what it does not say is no trouble of its log or its memory
        return {}

    def total(name: str) -> float:
        found = (
            line.rpartition(" ") for line in lines if line.startswith((f"{name} ", f"{name}{{"))
        )
        return sum(float(value) for _, _, value in found)

    found = {}
    if total("onward_prediction_log_failing"):
        unlogged = int(total("onward_predictions_unlogged_total"))
        served = f"{counted(unlogged, 'row')} answered unlogged" if unlogged else "rows are refused"
        found["prediction log"] = f"its last write or flush failed, {served}: is the disk full?"
    if total("onward_models_over_limit"):
        taken, limit = total("onward_model_bytes") / 1e6, total("onward_model_bytes_limit") / 1e6
        found["gateway memory"] = (
            f"the versions that routes need take {taken:,.1f} MB of {limit:,.1f} MB: no other is "
            "loaded; raise limits.model_bytes"
        )
    return found
