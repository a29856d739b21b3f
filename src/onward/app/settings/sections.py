"""Settings: what `onward.toml` can say, section by section, and what holds unless it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_type_hints

from onward.app.settings.gateway import (
    CallerSettings,
    GatewaySettings,
    LimitSettings,
    TelemetrySettings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """``[project]``: the project's name, its pipeline file, and where state is kept."""

    name: str = "onward"
    pipeline: str = "pipeline.py"
    state: str = ".onward"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineSettings:
    """``[online]``: which store features are served from, where it is, how long it may take.

    `url` is for ``redis`` and ``postgres``; a password in it is best a ``${secret:NAME}``.
    Predictions whose lookup takes longer than `timeout` are refused.
    """

    store: Literal["sqlite", "redis", "postgres"] = "sqlite"
    url: str = field(default="", repr=False)
    timeout: timedelta = timedelta(milliseconds=250)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """``[alerts]``: where breaches are sent besides the log; empty for nowhere."""

    webhook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerSettings:
    """``[triggers]``: how often `onward up` looks, and what starts a run by itself.

    With `on_data` new data refreshes tables and features. A new model is trained on a breach that
    persists, on request, and, with `on_commit`, when the pipeline changed: committed or only saved,
    now or while `onward up` was down.
    """

    poll: timedelta = timedelta(seconds=5)
    on_commit: bool = True
    on_data: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSettings:
    """``[secrets]``: the folder in which secrets are mounted, a file each."""

    folder: str = "/run/secrets"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformSettings:
    """``[transform]``: the command that runs dbt projects, on the path or relative to the project.

    dbt's pins do not live with Onward's: give it an environment of its own.
    """

    dbt: str = "dbt"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeSettings:
    """``[compute]``: where training, evaluation and scoring run, and how many processes score.

    With ``ray`` each is a task that asks for `cpus` cores of the cluster at `address`, or of one
    that is started on this machine; the project's folder must lie where every node sees it.
    """

    kind: Literal["local", "ray"] = "local"
    address: str = ""
    cpus: float = 1.0
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploySettings:
    """``[deploy]``: the image that containers run.

    With a `base` every run builds the whole image: ``host/name@sha256:…``, an image in a registry;
    ``oci:FOLDER:TAG``, one in an OCI layout; or ``root:PATH``, a file system's root as a folder or
    a tar. `environment` says where the distributions in it come from: ``wheels`` (pip's index, or
    the folder `wheels` alone), or ``installed``, a copy of what is installed here.

    Of images that nothing names the `keep_images` newest versions stay; see `onward image prune`.

    `registry` is where images are pushed, ``host/path``; `insecure` reaches it by plain HTTP, `ca`
    is a file of certificates to trust; a `password` is best a ``${secret:NAME}``.
    """

    base: str = ""
    environment: Literal["wheels", "installed"] = "wheels"
    wheels: str = ""
    platform: str = "linux/amd64"
    registry: str = ""
    insecure: bool = False
    ca: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    keep_images: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkSettings:
    """``[spark]``: where transforms with ``engine="spark"`` run.

    `master` is Spark's; `packages` and `jars` bring Iceberg's runtime for its version; `iceberg`
    names the class of its catalog.
    """

    master: str = "local[*]"
    packages: str = ""
    jars: str = ""
    iceberg: str = "org.apache.iceberg.spark.SparkCatalog"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageSettings:
    """``[lineage]``: who else hears of lineage, in OpenLineage's form.

    `openlineage` is a backend's address or a file (relative to the project); empty for nobody.
    `namespace` is the project's name unless given.
    """

    openlineage: str = ""
    api_key: str = field(default="", repr=False)
    namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSettings:
    """``[cost]``: what an hour of processing costs, for figures of cost; 0 shows none."""

    per_hour: float = 0.0
    currency: str = "EUR"


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeSettings:
    """``[lake]``: where tables are, how long they can be read as they were, what tidies them.

    `catalog` is a PostgreSQL database's address, `warehouse` a place such as ``s3://bucket/lake``
    (opened by ``[storage.s3]``); both are in the project's state unless given.
    A snapshot that something still needs stays longer than `keep`. Files that no snapshot names
    stay for `grace`: a writer may be about to commit them.
    """

    catalog: str = field(default="", repr=False)
    warehouse: str = ""
    keep: timedelta = timedelta(days=30)
    grace: timedelta = timedelta(days=1)
    compact_every: timedelta = timedelta(hours=1)
    sweep_every: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that `onward.toml` can say.

    `storage` has, by protocol, the options with which fsspec opens a store of files:
    ``[storage.s3]``.
    """

    folder: Path
    project: ProjectSettings = field(default_factory=ProjectSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    callers: CallerSettings = field(default_factory=CallerSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    online: OnlineSettings = field(default_factory=OnlineSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    triggers: TriggerSettings = field(default_factory=TriggerSettings)
    lake: LakeSettings = field(default_factory=LakeSettings)
    cost: CostSettings = field(default_factory=CostSettings)
    secrets: SecretSettings = field(default_factory=SecretSettings)
    transform: TransformSettings = field(default_factory=TransformSettings)
    spark: SparkSettings = field(default_factory=SparkSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    deploy: DeploySettings = field(default_factory=DeploySettings)
    lineage: LineageSettings = field(default_factory=LineageSettings)
    storage: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def pipeline(self) -> Path:
        return self.folder / self.project.pipeline

    @property
    def state(self) -> Path:
        return self.folder / self.project.state


def sections() -> Mapping[str, type]:
    """Return what declares each section of ``onward.toml`` whose names are known, by its name."""
    hints: dict[str, type] = get_type_hints(Settings)
    return {name: kind for name, kind in hints.items() if is_dataclass(kind)}
