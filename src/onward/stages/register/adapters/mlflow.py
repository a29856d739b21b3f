"""The registry in MLflow: versions, aliases, and lineage in tags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from onward.core.errors import NotFoundError, unknown_name
from onward.core.records import EvaluationReport, ModelRef, RunRef
from onward.stages.register.port import RegisteredVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"


class Store(Protocol):
    """An open MLflow database; the tracker's, so that runs and versions are in one."""

    def reading(self) -> AbstractContextManager[MlflowClient]:
        """Give the client; what is wrong with the database is told."""
        ...

    def writing(self) -> AbstractContextManager[MlflowClient]:
        """Hold the database's lock."""
        ...


class MlflowRegistry:
    """Model versions in MLflow's registry.

    Parameters
    ----------
    store
        The tracker's database, ``MlflowTracker.store``.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self, trained: RunRef, report: EvaluationReport, *, cards: Path, run: str, at: datetime
    ) -> ModelRef:
        """Register the next version and call it the challenger, once per (model, run)."""
        with self._store.writing() as client:
            known = self._of_run(client, trained.model, run)
            if known is None:
                if self._registered(client, trained.model) is None:
                    client.create_registered_model(trained.model)
                known = client.create_model_version(
                    trained.model,
                    source=Path(trained.path).as_uri(),
                    run_id=trained.tracker_run,
                    tags=_tags(trained, report, cards, run, at),
                )
            newest = _newest_first(client, trained.model)[0]
            if int(known.version) == int(newest.version) and not known.aliases:
                client.set_registered_model_alias(trained.model, CHALLENGER, known.version)
        return _model(known)

    def champion(self, name: str) -> ModelRef | None:
        """Return the version that is in production, None if there is none."""
        with self._store.reading() as client:
            registered = self._registered(client, name)
            version = registered.aliases.get(CHAMPION) if registered else None
            return None if version is None else _model(client.get_model_version(name, version))

    def promote(self, model: ModelRef) -> None:
        """Make a version the champion; it is no challenger any more."""
        self.get(model.name, model.version)
        with self._store.writing() as client:
            client.set_registered_model_alias(model.name, CHAMPION, str(model.version))
            aliases = client.get_registered_model(model.name).aliases
            if int(aliases.get(CHALLENGER, 0)) == model.version:
                client.delete_registered_model_alias(model.name, CHALLENGER)

    def get(self, name: str, version: int) -> ModelRef:
        """Return a version."""
        with self._store.reading() as client:
            if self._registered(client, name) is None:
                names = [model.name for model in client.search_registered_models()]
                what, expected = unknown_name("registered model", name, names)
                raise NotFoundError(what, expected=expected, next_step="`onward models` lists them")
        found = {v.version: v.model for v in self.versions(name)}
        if version not in found:
            listed = ", ".join(map(str, sorted(found)))
            raise NotFoundError(
                f"there is no version {version} of {name!r}", expected=f"one of: {listed}"
            )
        return found[version]

    def versions(self, name: str) -> Sequence[RegisteredVersion]:
        """Return a model's versions, newest first; none for a name not known yet."""
        with self._store.reading() as client:
            registered = self._registered(client, name)
            if registered is None:
                return ()
            aliases = registered.aliases  # a search for versions leaves them out
            return [_registered_version(v, aliases) for v in _newest_first(client, name)]

    def _registered(self, client: MlflowClient, name: str) -> RegisteredModel | None:
        return next(iter(client.search_registered_models(f"name = '{name}'")), None)

    def _of_run(self, client: MlflowClient, name: str, run: str) -> ModelVersion | None:
        wanted = f"name = '{name}' and tag.`onward.run` = '{run}'"
        found = next(iter(client.search_model_versions(wanted)), None)
        return None if found is None else client.get_model_version(name, found.version)


def _newest_first(client: MlflowClient, name: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"]))


def _tags(
    trained: RunRef, report: EvaluationReport, cards: Path, run: str, at: datetime
) -> dict[str, str]:
    return {
        "onward.run": run,
        "onward.trained": trained.ref,
        "onward.path": trained.path,
        "onward.digest": trained.digest,
        "onward.training": trained.training.ref,
        "onward.snapshots": " ".join(trained.training.inputs),
        "onward.commit": trained.commit or "",
        "onward.cards": str(cards),
        "onward.metrics": json.dumps({m.name: m.value for m in report.metrics}),
        "onward.registered_at": at.isoformat(),
    }


def _model(found: ModelVersion) -> ModelRef:
    tags = found.tags
    return ModelRef(
        name=found.name,
        version=int(found.version),
        path=tags["onward.path"],
        digest=tags["onward.digest"],
        trained=tags["onward.trained"],
        card=str(Path(tags["onward.cards"]) / f"{found.name}-{found.version}.md"),
    )


def _registered_version(found: ModelVersion, aliases: dict[str, str]) -> RegisteredVersion:
    tags = found.tags
    return RegisteredVersion(
        model=_model(found),
        aliases=tuple(sorted(a for a, v in aliases.items() if int(v) == int(found.version))),
        metrics=json.loads(tags["onward.metrics"]),
        created_at=datetime.fromisoformat(tags["onward.registered_at"]),
        run=tags["onward.run"],
        commit=tags["onward.commit"] or None,
    )
