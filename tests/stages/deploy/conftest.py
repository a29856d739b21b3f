"""A small registered model."""

from __future__ import annotations

from pathlib import Path

import pytest
import trained_models as small

from onward.core.records import ModelRef


@pytest.fixture
def model(tmp_path: Path) -> ModelRef:
    return small.train(tmp_path / "trained", small.Linear(1.0))
