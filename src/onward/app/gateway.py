"""The production gateway: starting it, finding it, asking it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onward.app.callers import caller_config, shown, tls_config, verified
from onward.app.gateway_settings import LimitSettings
from onward.app.online import opener
from onward.app.secrets import places
from onward.app.settings import Settings
from onward.core.errors import BusyError, CorruptError, DataError, NotFoundError, OnwardError
from onward.core.ports.masks import MASKS_ENTRY
from onward.core.records import Logging
from onward.core.wording import counted
from onward.flow.release import end
from onward.flow.releases import current
from onward.flow.serving import declare
from onward.flow.site import Folders, Site

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.ports import Server
    from onward.stages.serve.gateway.limits import Limits
    from onward.stages.serve.gateway.settings import GatewayConfig, TelemetryConfig
    from onward.watch.access.config import Access

SETTLE_S = 30.0


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

    def settle(self, model: str) -> str | None:
        """Wait until the gateway has looked at the model's routes file.

        Returns None once it serves what the file says, share by share, or why it does not: it
        refused to and serves as before, or units are assigned otherwise than was decided.

        Raises
        ------
        OnwardError
            It did neither within half a minute.
        """
        import httpx

        from onward.stages.serve.routes import version_of

        wanted = version_of((self.routes / f"{model}.json").read_bytes())
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            try:
                told = httpx.get(
                    f"{self.url}/routes", headers=shown(self.state), verify=verified(self.state)
                ).json()
            except httpx.HTTPError:  # whoever was asked is gone: another worker answers
                told = {}
            routes = told.get(model, {})
            if routes.get("version") == wanted:
                return _otherwise(routes["routes"])
            if routes.get("refused"):
                return str(routes["refused"])
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
    end(site, active, "rolledback", f"the gateway refused version {active.version}: {refused}")
    gateway.settle(model)
    return refused


@dataclass(frozen=True, slots=True)
class Caller:
    """Asks a gateway for predictions."""

    url: str
    model: str
    state: Path

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Ask for rows; the answer is the gateway's, as it stands.

        Raises
        ------
        DataError
            The gateway refused the rows.
        """
        return self._post("predict", {"rows": rows})

    def tell(self, feedback: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Tell what became known about predictions; the answer is the gateway's, as it stands.

        Raises
        ------
        DataError
            The gateway refused it.
        """
        return self._post("feedback", {"feedback": feedback})

    def _post(self, route: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        import httpx
        import msgspec

        answer = httpx.post(
            f"{self.url}/v2/models/{self.model}/{route}",
            content=msgspec.json.encode(asked, enc_hook=str),
            headers={"content-type": "application/json", **shown(self.state)},
            verify=verified(self.state),
            timeout=30,
        )
        body: Mapping[str, Any] = answer.json()
        if answer.status_code != 200:
            raise DataError(f"the gateway answered {answer.status_code}: {body.get('error', body)}")
        return body


def config(
    settings: Settings,
    *,
    clock: Literal["system", "request"],
    port: int,
    access: Access | None = None,
) -> GatewayConfig:
    """Return the gateway's configuration, by the project's settings."""
    from onward.stages.serve.gateway.settings import Factory, GatewayConfig

    folders = Folders(settings.state)
    timeout_s = settings.online.timeout.total_seconds()
    return GatewayConfig(
        state=str(folders.gateway),
        host=settings.gateway.host,
        port=port,
        grpc_port=settings.gateway.grpc_port if port else 0,
        workers=settings.gateway.workers,
        routes=str(folders.routes),
        predictions=str(folders.predictions),
        online=opener(settings, timeout_s=timeout_s),
        online_timeout_s=timeout_s,
        masks=Factory(entry=MASKS_ENTRY, arguments=places(settings)),
        clock=clock,
        logging=Logging(guarantee=settings.gateway.log, on_failure=settings.gateway.on_log_failure),
        log_bound_s=settings.gateway.log_bound.total_seconds(),
        parent=os.getpid(),
        drain_s=settings.limits.drain.total_seconds(),
        max_body_bytes=settings.limits.body_bytes,
        telemetry=_telemetry(settings),
        callers=caller_config(settings, access),
        tls=tls_config(settings),
        limits=_limits(settings.limits),
    )


def _limits(chosen: LimitSettings) -> Limits:
    from onward.stages.serve.gateway.limits import Limits

    return Limits(
        waiting=chosen.waiting,
        waiting_bytes=chosen.waiting_bytes,
        rows=chosen.rows,
        deadline_s=chosen.deadline.total_seconds() or None,
        connections=chosen.connections,
        receive_s=chosen.receive.total_seconds(),
        idle_s=chosen.idle.total_seconds(),
        hang_s=chosen.hang.total_seconds(),
        model_bytes=chosen.model_bytes,
    )


def _telemetry(settings: Settings) -> TelemetryConfig | None:
    from onward.stages.serve.gateway.settings import Factory, TelemetryConfig

    chosen = settings.telemetry
    if not (chosen.access_log or chosen.otlp):
        return None
    service = chosen.service or settings.project.name
    exporter = Factory(
        entry="onward.infra.telemetry.otlp:open_exporter",
        arguments={"endpoint": chosen.otlp, "service": service},
    )
    return TelemetryConfig(
        access_log=str(settings.folder / chosen.access_log) if chosen.access_log else None,
        access_ratio=chosen.access_ratio,
        exporter=exporter if chosen.otlp else None,
        trace_ratio=chosen.trace_ratio,
    )


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


def serve_as_declared(project: Project) -> None:
    """Have a gateway that is started for one call answer as the pipeline says now.

    One that runs already, or a run that is under way, sees to that by itself.
    """
    if address(project.settings.state) is None:
        with suppress(BusyError), project.alone():
            declare(Folders(project.settings.state), project.definition)


@contextmanager
def calling(settings: Settings, model: str) -> Iterator[Caller]:
    """Give a caller of the gateway that runs, or of one started for the occasion.

    Raises
    ------
    NotFoundError
        Nothing was released yet.
    CorruptError
        The gateway started for this call refuses the image that serves.
    """
    url = address(settings.state)
    if url is not None:
        yield Caller(url, model, settings.state)
        return
    if not (Folders(settings.state).routes / f"{model}.json").exists():
        raise NotFoundError(
            f"no version of {model!r} serves yet", next_step="`onward run` releases the first"
        )
    with serving(settings, port=0) as gateway:
        refused = gateway.settle(model)
        if refused is not None:
            raise CorruptError(
                f"the image of {model!r} that serves cannot be used: {refused}",
                next_step="`onward rollback` returns to the champion before; or restore the file",
            )
        yield Caller(gateway.url, model, settings.state)


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
