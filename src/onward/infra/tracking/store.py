"""The MLflow database: opened once, quietly, when it is first needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MlflowStore:
    """An MLflow tracking database and registry in one SQLite file.

    Importing MLflow costs a second of CPU and creating its tables another, so both wait for the
    first use.
    """

    def __init__(self, db_path: Path) -> None:
        self._db_path = db_path.resolve()
        self._client: MlflowClient | None = None
        self._opening = Lock()

    def client(self) -> MlflowClient:
        """Return the client, opening the database the first time."""
        with self._opening:
            if self._client is None:
                with self._lock():
                    self._client = self._open()
            return self._client

    @contextmanager
    def writing(self) -> Iterator[MlflowClient]:
        """Hold the database's lock: what is searched for and not found may then be created once.

        MLflow has no unique constraint on tags, which is where idempotence keys live.
        """
        client = self.client()
        with self._lock():
            yield client

    @contextmanager
    def _lock(self) -> Iterator[None]:
        from filelock import FileLock

        self._db_path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._db_path}.lock"):
            yield

    def _open(self) -> MlflowClient:
        # MLflow reads this switch from the environment alone, and while it is imported; whoever
        # set it has the last word.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        uri = f"sqlite:///{self._db_path}"
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)  # creates the tables, under the lock
        client.search_registered_models(max_results=1)
        return client
