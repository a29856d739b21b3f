"""Where a pipeline runs: the ports it is given and the folders it writes to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onward.core.clock import Clock
from onward.core.ports import Compute, Lake, Ledger, Masks, OnlineStore, Servers, Tracker
from onward.flow.progress import Listener
from onward.stages.deploy.port import Workbench
from onward.stages.ingest.port import Readers
from onward.stages.monitor.port import Alert
from onward.stages.register.port import ModelRegistry
from onward.stages.transform.port import Dbt, Engine


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of a project's state, under its root."""

    root: Path

    @property
    def training(self) -> Path:
        return self.root / "training"

    @property
    def trained(self) -> Path:
        return self.root / "trained"

    @property
    def searches(self) -> Path:
        return self.root / "searches"

    @property
    def cards(self) -> Path:
        return self.root / "cards"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def routes(self) -> Path:
        return self.root / "routes"

    @property
    def predictions(self) -> Path:
        return self.root / "predictions"

    @property
    def dbt(self) -> Path:
        return self.root / "dbt"

    @property
    def spark(self) -> Path:
        return self.root / "spark"

    @property
    def gateway(self) -> Path:
        return self.root / "gateway"

    @property
    def scoring(self) -> Path:
        return self.root / "scoring"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Ports and folders, put together by `app` and handed down.

    `project` is the folder of the user's files, `folders` where state is kept; `reader` returns
    what reads a source; `workbench` builds whole images, where one is wanted; `tell` hears of
    progress.
    """

    project: Path
    folders: Folders
    clock: Clock
    reader: Readers
    masks: Masks
    lake: Lake
    online: OnlineStore
    ledger: Ledger
    compute: Compute
    tracker: Tracker
    registry: ModelRegistry
    servers: Servers
    alerts: tuple[Alert, ...]
    tell: Listener
    dbt: Dbt
    spark: Engine
    workbench: Workbench | None = None
