"""The README's pipeline and its Python, run as they stand there."""

from __future__ import annotations

import contextlib
import csv
import io
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from marked_pages import page

README = page("README.md")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the README's pipeline file, with 800 orders that it can learn from."""
    (tmp_path / "pipeline.py").write_text(README.block("pipeline"))
    (tmp_path / "onward.toml").write_text("[gateway]\nport = 0\n")
    file = tmp_path / "data" / "orders" / "one.csv"
    file.parent.mkdir(parents=True)
    chance, start = random.Random(0), datetime(2026, 1, 1, tzinfo=UTC)
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(
            ["order_id", "ordered_at", "recorded_at", "customer_id", "amount", "items", "returned"]
        )
        for i in range(800):
            at = start + timedelta(hours=i)
            amount = round(chance.lognormvariate(3, 0.8), 2)
            back = int(chance.random() < (0.8 if amount > 20 else 0.1))
            rows.writerow(
                [f"o{i}", at.isoformat(), (at + timedelta(days=1)).isoformat(),
                 f"c{chance.randrange(50)}", amount, chance.randrange(1, 5), back]
            )  # fmt: skip
    return tmp_path


def test_the_readmes_python_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch, at_any_speed: Callable[[Path], None]
) -> None:
    at_any_speed(project / "pipeline.py")
    monkeypatch.chdir(project)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(README.block("python"), "README.md", "exec"), {})
    assert said.getvalue().startswith("promoted 1\n")
    assert "training set" in said.getvalue()
