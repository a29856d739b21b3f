"""What a gateway is told when it starts, by the project's settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from onward.app.gateway.callers import caller_config, tls_config
from onward.app.online import opener
from onward.app.secrets import places
from onward.app.settings.gateway import LimitSettings
from onward.app.settings.sections import Settings
from onward.core.ports.masks import MASKS_ENTRY
from onward.core.records import Logging
from onward.flow.site import Folders

if TYPE_CHECKING:
    from onward.stages.serve.gateway.limits import Limits
    from onward.stages.serve.gateway.settings import GatewayConfig, TelemetryConfig
    from onward.watch.access.config import Access


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
