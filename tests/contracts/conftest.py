"""The lakes that the lake's contract is held against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from onward.core.ports import Lake


def iceberg(folder: Path) -> Lake:
    from onward.infra.lake.iceberg import open_lake

    return open_lake(folder)


@pytest.fixture(params=[iceberg], ids=lambda adapter: adapter.__name__)
def open_lake(request: pytest.FixtureRequest) -> Callable[[Path], Lake]:
    """Opens the lake of a folder, or creates it."""
    return request.param


@pytest.fixture
def lake(open_lake: Callable[[Path], Lake], tmp_path: Path) -> Lake:
    return open_lake(tmp_path / "lake")
