"""A kill in the middle of a fit: the child goes too, and the next run leaves one model."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from onward.core import digest

SCRIPT = """
import sys, time
from pathlib import Path
import cloudpickle
sys.path.insert(0, sys.argv[1])
import conftest
import onward as ow
from onward.core.records import Candidate
from onward.infra.compute.local import LocalCompute
from onward.stages.train.step import train

folder, pipe, training = Path(sys.argv[2]), sys.argv[3], sys.argv[5]
Path(pipe + ".point").write_text(sys.argv[4])  # where to be killed is no part of the code
cloudpickle.register_pickle_by_value(sys.modules["__main__"])

def kill_here():
    import os
    with open(pipe, "w") as out:
        out.write(f"{os.getpid()}\\n")
        out.flush()
        time.sleep(600)

def slow(X, y):
    from sklearn.tree import DecisionTreeClassifier
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, y)
    point = Path(pipe + ".point").read_text()
    if point == "fit":
        kill_here()
    if point == "rename":
        Path.rename = lambda *_: kill_here()
    if point == "record":
        Path.replace = lambda *_: kill_here()
    return model

import pickle
model = ow.model(features=[], label=None, task="binary")(slow)
trained = train(
    model, pickle.loads(bytes.fromhex(training)),
    Candidate(model="slow", parameters={}, origin="defaults"),
    conftest.NoRequestFeatures(conftest.PLAN),
    compute=LocalCompute(), tracker=conftest.MemoryTracker(), folder=folder, commit=None, run="r",
)
print(trained.digest)
"""


@pytest.mark.crash
@pytest.mark.timeout(60)
@pytest.mark.parametrize("point", ["fit", "rename", "record"])
def test_a_fit_that_is_killed_is_done_once(point, tmp_path, folder, training):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)

    def command(at):
        given = (Path(__file__).parent.parent, folder, pipe, at, pickle.dumps(training).hex())
        return [sys.executable, str(script), *map(str, given)]

    parent = subprocess.Popen(command(point))
    with pipe.open() as written:
        assert int(written.readline()) != parent.pid
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert written.read() == ""  # the child has gone with its parent

    done = subprocess.run(command("none"), capture_output=True, text=True, check=True)
    fitted, record = sorted(folder.iterdir())
    assert record.name == f"{fitted.name}.json"
    assert (
        done.stdout.strip() == digest.of_folder(fitted) == json.loads(record.read_text())["digest"]
    )
