"""The lakes that the lake's contract is held against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from onward.core.ports import Lake


def in_a_folder(request: pytest.FixtureRequest) -> Callable[[Path], Lake]:
    from onward.infra.lake.iceberg import open_lake

    return open_lake


def on_servers(request: pytest.FixtureRequest) -> Callable[[Path], Lake]:
    """The catalog in PostgreSQL, the files on an S3 server."""
    from onward.infra.lake.catalog import Place
    from onward.infra.lake.iceberg import open_lake

    bucket, catalog = request.getfixturevalue("bucket"), request.getfixturevalue("postgres_url")

    def opened(folder: Path) -> Lake:
        name = folder.absolute().as_posix().strip("/").replace("/", "-")
        place = Place(
            catalog=catalog, warehouse=bucket.url(name), options=bucket.options, name=name
        )
        return open_lake(folder, place)

    return opened


ON_SERVERS = {
    "test_lake", "test_lake_erase", "test_lake_find", "test_lake_staged", "test_lake_sweep",
}  # fmt: skip
"""The files that are held against servers too; the others differ in nothing that these have not."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "open_lake" in metafunc.fixturenames:
        places = [in_a_folder]
        if metafunc.module.__name__.rpartition(".")[2] in ON_SERVERS:
            places.append(on_servers)
        names = [place.__name__ for place in places]
        metafunc.parametrize("open_lake", places, ids=names, indirect=True)


@pytest.fixture
def open_lake(request: pytest.FixtureRequest) -> Callable[[Path], Lake]:
    """Opens the lake of a folder, or creates it."""
    return request.param(request)


@pytest.fixture
def lake(open_lake: Callable[[Path], Lake], tmp_path: Path) -> Lake:
    return open_lake(tmp_path / "lake")
