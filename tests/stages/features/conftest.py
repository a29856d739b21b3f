"""A lake, an online store, and a little shop of rows for the features room."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flight_shop import Shop

from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.infra.online.sqlite import SqliteOnlineStore, open_store

DAY = timedelta(days=1)
START = datetime(2013, 1, 1, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


@pytest.fixture
def online(tmp_path: Path) -> Iterator[SqliteOnlineStore]:
    store = open_store(str(tmp_path / "online.db"))
    yield store
    store.close()


@pytest.fixture
def shop(lake: IcebergLake, online: SqliteOnlineStore) -> Shop:
    return Shop(lake, online)
