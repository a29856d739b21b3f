"""Experiments and runs in MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from onward.infra.tracking.store import MlflowStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

T = TypeVar("T")

KEY: Final = "onward.key"
ARTIFACTS: Final = "onward.artifacts"
_BATCH: Final = 100  # MLflow's limit for the parameters, or tags, of one request


class MlflowTracker:
    """Logs runs to MLflow's database, each once per key.

    Parameters
    ----------
    db_path
        The SQLite file; created when it is first needed.
    artifacts
        Where MLflow's own artifacts would go. Onward's stay where they are: a run's tag
        ``onward.artifacts`` says where.
    """

    def __init__(self, db_path: Path, artifacts: Path) -> None:
        self.store = MlflowStore(db_path)
        self._artifacts = artifacts.resolve()

    def log_run(
        self,
        *,
        experiment: str,
        name: str,
        key: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Path | None = None,
    ) -> str:
        """Log a finished run, once per `key`; return its id.

        A run whose logging was cut short is completed under the id that it has.
        """
        with self.store.writing() as client:
            folder = self._experiment(client, experiment)
            run = self._found(client, folder, key) or client.create_run(
                folder, run_name=name, tags={KEY: key}
            )
            if run.info.status != "FINISHED":
                where = {} if artifacts is None else {ARTIFACTS: str(artifacts)}
                _fill(client, run, parameters, metrics, {**tags, **where})
                client.set_terminated(run.info.run_id)
            found: str = run.info.run_id
            return found

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Add metrics to a run that was logged before; the same ones again change nothing."""
        with self.store.writing() as client:
            _fill(client, client.get_run(run), {}, metrics, {})

    def _experiment(self, client: MlflowClient, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is not None:
            known: str = found.experiment_id
            return known
        created: str = client.create_experiment(
            name, artifact_location=(self._artifacts / name).as_uri()
        )
        return created

    def _found(self, client: MlflowClient, experiment: str, key: str) -> Run | None:
        wanted = f"tags.`{KEY}` = '{key}'"
        return next(iter(client.search_runs([experiment], wanted, max_results=1)), None)


def _fill(
    client: MlflowClient,
    run: Run,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> None:
    """Log everything; at the run's own start time, so that logging it again adds nothing."""
    from mlflow.entities import Metric, Param, RunTag

    run_id, at = run.info.run_id, run.info.start_time
    for some in _batches(Param(k, str(v)) for k, v in parameters.items()):
        client.log_batch(run_id, params=some)
    for some in _batches(RunTag(k, v) for k, v in tags.items()):
        client.log_batch(run_id, tags=some)
    for some in _batches(Metric(k, float(v), at, 0) for k, v in metrics.items()):
        client.log_batch(run_id, metrics=some)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while some := list(islice(remaining, _BATCH)):
        yield some
