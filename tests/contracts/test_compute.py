"""What every Compute adapter must do."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator

import cloudpickle
import pytest

from onward.core.errors import DataError, Location, OnwardError
from onward.core.ports import Compute
from onward.infra.compute.local import LocalCompute
from onward.infra.compute.ray import RayCompute

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module", params=[LocalCompute, RayCompute], ids=["local", "ray"])
def compute(request) -> Iterator[Compute]:
    made = request.param()
    yield made
    made.close()


def surroundings(*values, scale):
    import numpy as np

    return {
        "sum": scale * sum(values),
        "pid": os.getpid(),
        "random": (random.random(), float(np.random.random()), hash("onward")),
        "stdin": sys.stdin.read(),
    }


def declined():
    raise DataError("no rows", expected="some", next_step="wait", location=Location("p.py", 3))


def divided():
    print("about to divide")
    return 1 / 0


def killed():
    print("growing")
    os.kill(os.getpid(), signal.SIGKILL)


def left():
    raise SystemExit(3)


def gone():
    os._exit(7)


def lock():
    import threading

    return threading.Lock()


def test_a_call_runs_elsewhere_from_fixed_seeds(compute):
    first = compute.run(surroundings, 1, 2, scale=10, name="sum")
    second = compute.run(surroundings, 1, 2, scale=10, name="sum")
    assert first["sum"] == 30
    assert len({first["pid"], second["pid"], os.getpid()}) == 3
    assert first["random"] == second["random"]
    assert first["stdin"] == ""


def test_an_onward_error_comes_back_whole(compute):
    with pytest.raises(DataError) as caught:
        compute.run(declined, name="declined")
    error = caught.value
    assert (error.what, error.expected, error.next_step) == ("no rows", "some", "wait")
    assert error.location == Location("p.py", 3)


def test_another_exception_says_where_and_with_which_output(compute):
    with pytest.raises(OnwardError) as caught:
        compute.run(divided, name="train model")
    assert "train model failed: ZeroDivisionError: division by zero" in caught.value.what
    assert "return 1 / 0" in caught.value.what
    assert "about to divide" in caught.value.what
    assert caught.value.location == Location(
        divided.__code__.co_filename, divided.__code__.co_firstlineno + 2
    )


def test_a_child_that_is_killed_is_said_to_be(compute):
    with pytest.raises(OnwardError, match="SIGKILL") as caught:
        compute.run(killed, name="train")
    assert "growing" in caught.value.what
    assert "memory" in caught.value.next_step


@pytest.mark.parametrize(
    ("function", "said"),
    [(left, "SystemExit: 3"), (gone, "exit status 7"), (lock, "cannot pickle")],
)
def test_a_call_without_a_result_is_an_error(compute, function, said):
    with pytest.raises(OnwardError, match=said):
        compute.run(function, name="odd")
