"""A model's memory: measured without the libraries that it brings, and given back."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

from onward.stages.serve.gateway.models import memory

MB = 1_000_000


def filled(megabytes: int) -> np.ndarray:
    return np.ones(megabytes * MB // 8)


def test_what_a_load_adds_is_measured_and_what_it_is_at_least_is_kept():
    loaded, size = memory.measured(lambda: filled(48), least=10)
    assert abs(size - loaded.nbytes) < 8 * MB
    assert memory.measured(lambda: None, least=64 * MB) == (None, 64 * MB)


def test_libraries_that_come_with_a_model_are_not_counted(tmp_path, monkeypatch):
    (tmp_path / "weighty_library.py").write_text("import numpy\nheld = numpy.ones(6_000_000)\n")
    monkeypatch.syspath_prepend(tmp_path)

    def load() -> np.ndarray:
        import weighty_library  # type: ignore[import-not-found]

        assert len(weighty_library.held) == 6_000_000
        return filled(16)

    loaded, size = memory.measured(load, least=0)
    assert abs(size - loaded.nbytes) < 8 * MB
    del sys.modules["weighty_library"]


class Knot:
    """Holds itself, and so waits for the collector."""

    def __init__(self) -> None:
        self.itself, self.ballast = self, filled(48)


@pytest.mark.parametrize("made", [lambda: filled(48), Knot])
def test_what_nobody_holds_is_given_back(made):
    gc.disable()
    try:
        held = made()
        before = memory.resident()
        del held
        memory.give_back(48 * MB)
        assert memory.resident() < before - 40 * MB
    finally:
        gc.enable()


def test_a_system_that_does_not_say_knows_only_the_least(monkeypatch):
    monkeypatch.setattr(memory, "_STATM", Path("/nowhere"))
    assert memory.measured(lambda: filled(16), least=7)[1] == 7
