"""Packaging: the same bytes from the same model, whole or not there."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from onward.core.errors import CorruptError
from onward.stages.deploy.oci.image import read_image
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.step import package
from onward.stages.serve.gateway.models.image import unpack


def blob(layout: Path, digest: str) -> bytes:
    data = (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest.removeprefix("sha256:")
    return data


def test_the_layout_is_what_the_specification_says(model, tmp_path):
    image = package(model, folder=tmp_path / "images")
    layout = Path(image.layout)
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    [entry] = json.loads((layout / "index.json").read_text())["manifests"]
    assert entry["digest"] == image.digest
    assert entry["size"] == len(blob(layout, image.digest))
    manifest = json.loads(blob(layout, image.digest))
    config = json.loads(blob(layout, manifest["config"]["digest"]))
    assert config["config"]["Entrypoint"][:3] == ["python", "-m", "onward.stages.serve.gateway"]
    assert config["config"]["Labels"]["org.opencontainers.image.version"] == "1"
    for layer, diff in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        packed = blob(layout, layer["digest"])
        assert len(packed) == layer["size"]
        assert f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}" == diff
    assert image.ref == f"image:returns@{image.digest}"


def test_layers_hold_the_environment_and_the_model(model, tmp_path):
    image = package(model, folder=tmp_path / "images")
    layout = Path(image.layout)
    names = []
    for layer in json.loads(blob(layout, image.digest))["layers"]:
        with tarfile.open(fileobj=io.BytesIO(blob(layout, layer["digest"]))) as tar:
            members = tar.getmembers()
            assert [m.name for m in members] == sorted(m.name for m in members)
            assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
            names.append([m.name for m in members if m.isfile()])
            if "opt/onward/model.json" in names[-1]:
                about = json.load(tar.extractfile("opt/onward/model.json"))
    prefix = "opt/onward/model"
    assert names[0] == [f"{prefix}/environment.json", f"{prefix}/requirements.txt"]
    assert {f"{prefix}/model.pkl", f"{prefix}/code.py", "etc/onward/gateway.json"} <= set(names[1])
    assert about == {"name": "returns", "version": 1, "digest": model.digest, "task": "binary"}


def test_the_same_model_gives_the_same_image_anywhere(model, tmp_path):
    first = package(model, folder=tmp_path / "a")
    for path in Path(model.path).iterdir():
        os.utime(path, (1, 1))
    second = package(model, folder=tmp_path / "b")
    assert first.digest == second.digest
    assert package(model, folder=tmp_path / "a") == first
    assert sorted(Layout(tmp_path / "a").tags()) == ["returns:1"]


def test_versions_lie_in_one_layout_and_share_what_is_the_same(model, tmp_path):
    first = package(model, folder=tmp_path)
    second = package(replace(model, version=2), folder=tmp_path)
    layout = Layout(tmp_path)
    assert {tag: e.digest for tag, e in layout.tags().items()} == {
        "returns:1": first.digest,
        "returns:2": second.digest,
    }
    layers = [
        [x.descriptor.digest for x in read_image(layout, e).layers] for e in layout.tags().values()
    ]
    assert layers[0][0] == layers[1][0]  # the environment
    assert layers[0][1] != layers[1][1]  # the model


def test_an_altered_folder_is_not_packaged(model, tmp_path):
    (Path(model.path) / "model.pkl").write_bytes(b"other")
    with pytest.raises(CorruptError, match="not those that were recorded"):
        package(model, folder=tmp_path / "images")
    assert not (tmp_path / "images").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
import msgspec
from onward.core.records import ModelRef
from onward.stages.deploy.step import package
at, seen = int(sys.argv[1]), 0
def trace(frame, event, arg):
    global seen
    if event == "line" and "stages/deploy" in frame.f_code.co_filename:
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
    return trace
model = msgspec.json.decode(sys.argv[2], type=ModelRef)
sys.settrace(trace)
package(model, folder=Path(sys.argv[3]))
sys.settrace(None)
print(seen)
"""


@pytest.mark.crash
def test_killed_at_any_line_leaves_all_or_nothing(model, tmp_path):
    import msgspec

    whole = package(model, folder=tmp_path / "whole")
    wanted = (tmp_path / "whole" / "index.json").read_bytes()
    text = msgspec.json.encode(model).decode()
    images = tmp_path / "images"

    def run(at: int) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-c", KILLED, str(at), text, str(images)]
        return subprocess.run(command, capture_output=True, check=False)

    lines = int(run(0).stdout)
    for at in range(1, lines, lines // 7):
        shutil.rmtree(images)
        assert run(at).returncode == -signal.SIGKILL
        if (images / "index.json").exists():
            assert (images / "index.json").read_bytes() == wanted
            assert unpack(replace(whole, layout=str(images)), tmp_path / f"unpacked-{at}")
        assert package(model, folder=images).digest == whole.digest
        assert (images / "index.json").read_bytes() == wanted
