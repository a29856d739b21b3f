"""The MLflow database: opened once, quietly, when it is first needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from onward.infra.database.sqlite import meaning

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

    @contextmanager
    def reading(self) -> Iterator[MlflowClient]:
        """Give the client, opening the database the first time.

        Raises
        ------
        CorruptError
            The file is damaged.
        OnwardError
            It cannot be read or written.
        """
        with self._meaning_told():
            with self._opening:
                if self._client is None:
                    with self._lock():
                        self._client = self._open()
            yield self._client

    @contextmanager
    def writing(self) -> Iterator[MlflowClient]:
        """Hold the database's lock: what is searched for and not found may then be created once.

        MLflow has no unique constraint on tags, which is where idempotence keys live.
        """
        with self.reading() as client, self._lock():
            yield client

    @contextmanager
    def _meaning_told(self) -> Iterator[None]:
        # MLflow wraps what SQLAlchemy raises, which wraps what SQLite does.
        try:
            yield
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None and (told := meaning(cause, self._db_path)) is None:
                cause = cause.__cause__ or cause.__context__
            if cause is None or told is None:
                raise
            raise told from error

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
