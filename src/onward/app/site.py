"""Choosing adapters: the one place that knows which vendor stands behind which port."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from onward.app.images import open_workbench
from onward.app.online import open_online, opener
from onward.app.origins import find_readers
from onward.app.secrets import filling, open_project_secrets
from onward.app.settings.sections import Settings
from onward.core.clock import Clock
from onward.core.ports import Compute, Lake, Ledger
from onward.flow.progress import Listener
from onward.flow.site import Folders, Site
from onward.stages.ingest.port import Surroundings
from onward.stages.monitor.port import Alert
from onward.stages.transform.port import Dbt, Engine

if TYPE_CHECKING:
    from onward.infra.lake.catalog import Place


def open_ledger(settings: Settings) -> Ledger:
    """Open the project's ledger alone: all that most questions need."""
    from onward.infra.database import open_database
    from onward.watch.audit.adapters.sql import SqlLedger

    settings.state.mkdir(parents=True, exist_ok=True)
    return SqlLedger(open_database(settings.state / "onward.db"))


def open_dbt(settings: Settings) -> Dbt:
    """Return dbt, as the settings say where it is; nothing runs before it is asked."""
    from onward.stages.transform.adapters.dbt import DbtCommand

    return DbtCommand(
        settings.transform.dbt, folder=settings.folder, state=Folders(settings.state).dbt
    )


def open_site(settings: Settings, *, clock: Clock, ledger: Ledger, tell: Listener) -> Site:
    """Open every port in the form that the settings choose."""
    from onward.infra.lake.iceberg import open_lake
    from onward.infra.masks.masks import KeyedMasks
    from onward.infra.tracking.mlflow import MlflowTracker
    from onward.stages.register.adapters.mlflow import MlflowRegistry
    from onward.stages.serve.gateway.process.local import LocalServers

    folders = Folders(settings.state)
    secrets = open_project_secrets(settings)
    surroundings = Surroundings(
        folder=settings.folder, fill=filling(secrets), storage=settings.storage
    )
    lake = open_lake(settings.state / "lake", _place(settings, surroundings))
    tracker = MlflowTracker(settings.state / "mlflow.db", settings.state / "mlruns")
    return Site(
        project=settings.folder,
        folders=folders,
        clock=clock,
        reader=find_readers(surroundings),
        masks=KeyedMasks(secrets),
        lake=lake,
        online=open_online(settings),
        ledger=ledger,
        compute=_compute(settings),
        tracker=tracker,
        registry=MlflowRegistry(tracker.store),
        servers=LocalServers(opener(settings)),
        alerts=_alerts(settings, surroundings.fill),
        tell=tell,
        dbt=open_dbt(settings),
        spark=_spark(settings, lake),
        workbench=open_workbench(settings, secrets) if settings.deploy.base else None,
    )


def _compute(settings: Settings) -> Compute:
    chosen = settings.compute
    if chosen.kind == "ray":
        from onward.infra.compute.ray import RayCompute

        return RayCompute(address=chosen.address, cpus=chosen.cpus)
    from onward.infra.compute.local import LocalCompute

    return LocalCompute()


def _spark(settings: Settings, lake: Lake) -> Engine:
    from onward.stages.transform.adapters.spark import SparkEngine

    given = {"spark.jars": settings.spark.jars, "spark.jars.packages": settings.spark.packages}
    return SparkEngine(
        master=settings.spark.master,
        iceberg=settings.spark.iceberg,
        conf={name: value for name, value in given.items() if value},
        lake=lake,
        scratch=Folders(settings.state).spark,
    )


def _place(settings: Settings, surroundings: Surroundings) -> Place:
    from onward.infra.lake.catalog import Place

    chosen, fill = settings.lake, surroundings.fill
    options = settings.storage.get(chosen.warehouse.partition("://")[0], {})
    return Place(
        catalog=fill(chosen.catalog),
        warehouse=chosen.warehouse,
        options={name: fill(v) if isinstance(v, str) else v for name, v in options.items()},
        name=settings.project.name if chosen.catalog else "onward",
    )


def _alerts(settings: Settings, fill: Callable[[str], str]) -> tuple[Alert, ...]:
    from onward.stages.monitor.adapters.log import LogAlert
    from onward.stages.monitor.adapters.webhook import WebhookAlert

    log = LogAlert()
    webhook = settings.alerts.webhook
    return (log, WebhookAlert(fill(webhook), shown=webhook)) if webhook else (log,)
