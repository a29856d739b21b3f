from __future__ import annotations

import os
import signal
import subprocess
import sys

import cloudpickle
import pytest

from onward.core.errors import OnwardError
from onward.infra.compute.local import LocalCompute

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def noted():
    print("kept")
    return {name: os.environ[name] for name in ("OMP_NUM_THREADS", "PYTHONHASHSEED")}


def aborted():
    os.kill(os.getpid(), signal.SIGABRT)


def test_threads_and_log_are_as_asked(tmp_path):
    compute = LocalCompute(threads=1, logs=tmp_path / "logs")
    assert compute.run(noted, name="fit: a model") == {
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
    }
    assert (tmp_path / "logs" / "fit-a-model.log").read_text() == "kept\n"


def test_only_a_kill_is_put_down_to_memory():
    with pytest.raises(OnwardError, match="SIGABRT") as caught:
        LocalCompute().run(aborted, name="fit")
    assert caught.value.next_step is None


PARENT = """
import os, sys, time
import cloudpickle
from onward.infra.compute.local import LocalCompute

def wait(pipe):
    with open(pipe, "w") as out:
        out.write(f"{os.getpid()}\\n")
        out.flush()
        time.sleep(600)

cloudpickle.register_pickle_by_value(sys.modules["__main__"])
LocalCompute().run(wait, sys.argv[1], name="wait")
"""


@pytest.mark.crash
def test_the_child_ends_with_its_parent(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(pipe)])
    with pipe.open() as written:
        child = int(written.readline())
        os.kill(child, 0)
        parent.kill()
        parent.wait()
        assert written.read() == ""  # the pipe's end: its only writer, the child, is gone
