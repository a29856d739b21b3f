"""A shop whose data is in, without a model: for commands that only look at data."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from taking_in import take_in


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onward.surfaces.cli.show.console.width", 160)


@pytest.fixture(autouse=True)
def _no_lent_stderr() -> Iterator[None]:
    """A runner closes the stderr that it lent, which DBOS's logger would flush at the next run."""
    yield
    logging.getLogger("dbos").handlers.clear()


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    """The shop after its data came in: 390 orders published, 10 with a bad amount quarantined."""
    folder = shops(tmp_path_factory.mktemp("stocked") / "shop")
    take_in(folder)
    return folder


@pytest.fixture
def own_stock(stocked: Path, tmp_path: Path) -> Path:
    """A copy of the stocked shop that a test may change."""
    target = tmp_path / "shop"
    shutil.copytree(stocked, target)
    return target
