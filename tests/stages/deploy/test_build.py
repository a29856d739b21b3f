"""The whole image: the same one from the same things, and what is said about it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import trained_models as small
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import small_images as tiny
from onward.core.errors import CorruptError, DataError, DeclarationError, UnavailableError
from onward.core.version import VERSION
from onward.stages.deploy.adapters.ed25519 import Ed25519Verifier, new_key, signer
from onward.stages.deploy.image.build import build
from onward.stages.deploy.image.dockerfile import write_context
from onward.stages.deploy.image.lock import lock
from onward.stages.deploy.image.model import PART
from onward.stages.deploy.image.provenance import opened
from onward.stages.deploy.image.verification import check
from onward.stages.deploy.oci.image import add_image, add_layer, read_image
from onward.stages.deploy.oci.layer import files
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.referrers import content, referrers
from onward.stages.deploy.port import Made
from onward.stages.deploy.step import package

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
NOTHING = Made(trained=None, run="r1")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A model, a root, wheels: (model, root, wheels)."""
    folder = tmp_path_factory.mktemp("parts")
    model = small.train(folder / "trained", small.Linear(1.0))
    model = tiny.recorded(model, numpy="2.4.6", pandas="3.1.1")
    return (
        model,
        tiny.root(folder / "root"),
        tiny.wheels(folder / "wheels", Path(model.path)),
    )


@pytest.fixture(scope="module")
def key():
    return signer(new_key())


@pytest.fixture(scope="module")
def built(parts, key, tmp_path_factory):
    """An image built of the parts, and its layout."""
    model, root, wheels = parts
    folder = tmp_path_factory.mktemp("built")
    image = build(model, NOTHING, bench=tiny.workbench(root, wheels, signer=key), folder=folder)
    return image, Layout(folder)


def held(layout, image):
    """Return the files of each layer by what the layer holds."""
    found = {}
    for layer in read_image(layout, layout.resolve(image.digest)).layers:
        data = io.BytesIO(layout.read(layer.descriptor.digest))
        with tarfile.open(fileobj=data) as tar:
            name = layer.descriptor.annotations["dev.onward.layer"]
            found[name] = {m.name: m for m in tar if m.isfile() or m.name.startswith("var/lib/on")}
    return found


def test_each_layer_holds_what_changes_for_its_own_reason(built, parts):
    image, layout = built
    layers = held(layout, image)
    assert list(layers) == ["base", "environment", "onward", "record", "model"]
    assert "usr/bin/python3.11" in layers["base"]
    library = {name for name in layers["environment"] if name.endswith("__init__.py")}
    expected = {n.replace("-", "_").replace(".", "_") for n in lock(Path(parts[0].path)).pins}
    assert library == {f"opt/onward/lib/{name}/__init__.py" for name in expected}
    assert not [n for n in layers["environment"] if "bin/" in n or n.endswith(".pyc")]
    assert "opt/onward/lib/onward/stages/serve/gateway/__main__.py" in layers["onward"]
    assert layers["onward"]["var/lib/onward/predictions"].uid == 65532
    assert "opt/onward/model/model.pkl" in layers["model"]


def test_it_runs_the_gateway_with_the_bases_interpreter_as_nobody(built):
    _image, layout = built
    found = read_image(layout, layout.resolve("returns:1"))
    assert found.config["Entrypoint"] == [
        "/usr/bin/python3.11", "-m", "onward.stages.serve.gateway",
        "--config", "/etc/onward/gateway.json",
    ]  # fmt: skip
    assert found.config["User"] == "65532:65532"
    assert "PYTHONPATH=/opt/onward/lib" in found.config["Env"]
    base = found.layers[0].descriptor.digest
    assert found.annotations["org.opencontainers.image.base.digest"] == base


ELSEWHERE = """
import os, sys
import msgspec
from pathlib import Path
sys.path[:0] = sys.argv[5:]
import small_images as tiny
from onward.core.records import ModelRef
from onward.stages.deploy.image.build import build
from onward.stages.deploy.port import Made
from onward.stages.deploy.step import package
os.umask(0o077)
model = msgspec.json.decode(sys.argv[1], type=ModelRef)
bench = tiny.workbench(Path(sys.argv[2]), Path(sys.argv[3]))
print(build(model, Made(trained=None, run="r1"), bench=bench, folder=Path(sys.argv[4])).digest)
"""


def test_another_folder_umask_time_and_locale_give_the_same_digest(built, parts, tmp_path):
    image, _ = built
    model, root, wheels = parts
    for name, source in (("trained", Path(model.path)), ("root", root), ("wheels", wheels)):
        shutil.copytree(source, tmp_path / name)  # new times, new inodes
    moved = replace(model, path=str(tmp_path / "trained"))
    arguments = [
        msgspec.json.encode(moved).decode(), str(tmp_path / "root"), str(tmp_path / "wheels"),
        str(tmp_path / "images"), str(Path(tiny.__file__).parent),
    ]  # fmt: skip
    surroundings = {
        **os.environ,
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
        "HOME": str(tmp_path),
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": "@2031-05-05 05:05:05",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    command = [sys.executable, "-c", ELSEWHERE, *arguments]
    done = subprocess.run(
        command, env=surroundings, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == image.digest, done.stderr


def test_a_new_version_adds_only_its_model(built, parts, tmp_path):
    model, root, wheels = parts
    bench = tiny.workbench(root, wheels)
    layout = Layout(tmp_path)
    first = build(model, NOTHING, bench=bench, folder=tmp_path)
    before = {path.name for path in (tmp_path / "blobs" / "sha256").iterdir()}
    second = build(replace(model, version=2), NOTHING, bench=bench, folder=tmp_path)
    below, above = (
        [x.descriptor.digest for x in read_image(layout, layout.resolve(i.digest)).layers]
        for i in (first, second)
    )
    assert below[:-1] == above[:-1]
    added = {p.name for p in (tmp_path / "blobs" / "sha256").iterdir()} - before
    assert sum((tmp_path / "blobs" / "sha256" / name).stat().st_size for name in added) < 60_000
    assert build(model, NOTHING, bench=bench, folder=tmp_path) == first


def test_pip_is_not_asked_again_for_what_an_earlier_image_has(parts, tmp_path):
    model, root, wheels = parts
    first = build(model, NOTHING, bench=tiny.workbench(root, wheels), folder=tmp_path / "images")
    (tmp_path / "none").mkdir()
    bench = tiny.workbench(root, tmp_path / "none")
    later = replace(model, version=2)
    second = build(later, NOTHING, bench=bench, folder=tmp_path / "images")
    layout = Layout(tmp_path / "images")
    bills = [
        json.loads(content(layout, referrers(layout, layout.resolve(i.digest))[0]))
        for i in (first, second)
    ]
    assert len(bills[0]["components"]) == len(bills[1]["components"])
    assert len(bills[1]["components"]) == 4 + len(lock(Path(model.path)).pins)
    with pytest.raises(UnavailableError, match="pip cannot bring the image's distributions"):
        build(model, NOTHING, bench=bench, folder=tmp_path / "elsewhere")


def test_the_bill_names_system_packages_distributions_and_the_model(built, parts):
    image, layout = built
    data = content(layout, referrers(layout, layout.resolve(image.digest))[0])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    bill = json.loads(data)
    by_purl = {c["purl"]: c for c in bill["components"] if "purl" in c}
    assert by_purl["pkg:deb/debian/libc6@2.36-9?arch=amd64"]["version"] == "2.36-9"
    assert f"pkg:pypi/onward@{VERSION}" in by_purl
    numpy = by_purl["pkg:pypi/numpy@2.4.6"]
    assert numpy["licenses"] == [{"license": {"id": "MIT"}}]
    assert len(numpy["hashes"][0]["content"]) == 64
    [model] = [c for c in bill["components"] if c["type"] == "machine-learning-model"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": parts[0].digest}]


def test_the_provenance_says_what_went_in_and_who_vouches(built, parts, key):
    image, layout = built
    [data] = [
        content(layout, e)
        for e in referrers(layout, layout.resolve(image.digest))
        if "dsse" in e.artifact_type
    ]
    said = opened(data)
    assert said["subject"] == [
        {"name": "returns:1", "digest": {"sha256": image.digest.removeprefix("sha256:")}}
    ]
    definition = said["predicate"]["buildDefinition"]
    names = {d["name"]: d for d in definition["resolvedDependencies"]}
    assert names["model"]["digest"] == {"sha256": parts[0].digest}
    assert names["environment"]["digest"]["sha256"] == lock(Path(parts[0].path)).digest[7:]
    assert said["predicate"]["runDetails"]["metadata"]["invocationId"] == "r1"
    checks = check(layout, layout.resolve(image.digest), Ed25519Verifier(key.public))
    assert [(c.check, c.passed) for c in checks] == [
        ("blobs", True),
        ("provenance", True),
        ("bill of materials", True),
        ("signature", True),
    ]
    assert checks[-1].reason == f"by key {key.key_id}"


def test_training_is_in_the_provenance(parts, training, tmp_path):
    from datetime import UTC, datetime

    from onward.core.records import Candidate, RunRef

    model, root, wheels = parts
    trained = RunRef(
        id="t1", model="returns", path=model.path, digest=model.digest, training=training,
        candidate=Candidate(model="returns", parameters={"depth": 3}, origin="defaults"),
        holdout_from=datetime(2026, 1, 1, tzinfo=UTC), commit="c0ffee", tracker_run="", seconds=1.0,
    )  # fmt: skip
    made = Made(trained=trained, run="r7")
    image = build(model, made, bench=tiny.workbench(root, wheels), folder=tmp_path)
    layout = Layout(tmp_path)
    entry = layout.resolve(image.digest)
    [data] = [content(layout, e) for e in referrers(layout, entry) if "toto" in e.artifact_type]
    definition = opened(data)["predicate"]["buildDefinition"]
    uris = [d.get("uri") for d in definition["resolvedDependencies"]]
    assert uris[-4:] == [training.ref, *training.inputs, "commit:c0ffee"]
    assert definition["internalParameters"] == {"python": "3.11", "parameters": {"depth": 3}}
    signature = check(layout, entry, None)[-1]
    assert (signature.passed, signature.reason) == (True, "not signed")


def test_what_was_tampered_with_is_found(built, key, tmp_path):
    image, layout = built
    copy = Layout(tmp_path / "copy")
    shutil.copytree(layout.folder, copy.folder)
    entry = copy.resolve(image.digest)
    stranger = signer(new_key())
    assert not check(copy, entry, Ed25519Verifier(stranger.public))[-1].passed
    assert check(copy, entry, None)[-1].reason.startswith("not checked")
    bill = next(e for e in referrers(copy, entry) if "cyclonedx" in e.artifact_type)
    listed = [e for e in copy.entries() if e.digest != bill.digest]
    copy.write_index(listed)
    assert {c.check for c in check(copy, entry, key) if not c.passed} == {"bill of materials"}
    copy.write_index([e for e in listed if e.artifact_type is None])
    assert [c.reason for c in check(copy, entry, key)][1:] == ["none is attached"]
    layer = read_image(copy, entry).layers[-1].descriptor.digest
    copy.path(layer).write_bytes(b"other")
    [found] = check(copy, entry, key)
    assert "was altered" in found.reason


def test_a_base_without_the_models_python_is_refused(parts, tmp_path):
    model, _, wheels = parts
    other = tiny.workbench(tiny.root(tmp_path / "root", "3.13"), wheels)
    with pytest.raises(DeclarationError, match=r"fitted with Python 3\.11; the base has python3"):
        build(model, NOTHING, bench=other, folder=tmp_path / "images")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DeclarationError, match="the base has no Python"):
        build(model, NOTHING, bench=tiny.workbench(tmp_path / "bare", wheels), folder=tmp_path)


def test_a_model_without_its_record_is_refused(tmp_path):
    model = small.train(tmp_path / "trained", small.Linear(1.0))
    bench = tiny.workbench(tiny.root(tmp_path / "root"), tmp_path)
    with pytest.raises(DataError, match="does not say what the model was fitted with"):
        build(model, NOTHING, bench=bench, folder=tmp_path / "images")
    (Path(model.path) / "model.pkl").write_bytes(b"other")
    with pytest.raises(CorruptError):
        build(model, NOTHING, bench=bench, folder=tmp_path / "images")


def test_what_is_neither_recorded_nor_installed_is_named(tmp_path):
    model = small.train(tmp_path / "trained", small.Linear(1.0))
    tiny.recorded(model)
    with pytest.raises(DeclarationError, match="needs no-such-thing, which is neither"):
        lock(Path(model.path), extras=["No_Such.Thing"])


def buildah(file, folder):
    """Return what a builder makes of a Dockerfile, in the layout ``docker`` of `folder`."""
    storage = ["--root", str(folder / "storage"), "--runroot", str(folder / "run"),
               "--storage-driver", "vfs"]  # fmt: skip
    build_it = ["buildah", *storage, "build", "--isolation", "chroot", "--quiet", "--tag", "t",
                "--file", str(file), str(file.parent)]  # fmt: skip
    push = ["buildah", *storage, "push", "--quiet", "t", f"oci:{folder / 'docker'}:t"]
    for command in (build_it, push):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    made = Layout(folder / "docker")
    return read_image(made, made.resolve("t"))


def test_a_builder_gets_the_same_file_system_from_the_dockerfile(built, tmp_path):
    image, layout = built
    file = write_context(layout, layout.resolve(image.digest), tmp_path / "context")
    theirs = buildah(file, tmp_path)
    ours = read_image(layout, layout.resolve(image.digest))
    assert _tree(Layout(tmp_path / "docker"), theirs) == _tree(layout, ours)
    for name in ("Entrypoint", "User", "WorkingDir", "ExposedPorts"):
        assert theirs.config[name] == ours.config[name]
    assert set(ours.config["Env"]) <= set(theirs.config["Env"])
    assert ours.config["Labels"].items() <= theirs.config["Labels"].items()


def test_a_builder_reads_variables_and_labels_back_as_they_are(tmp_path):
    layout = Layout(tmp_path / "images")
    layer = add_layer(layout, files({"etc/some": b""}), created_by="", annotations={PART: "base"})
    odd = 'café costs "$5" \\ $HOME ${PATH}'
    config = {"Env": [f"ODD={odd}"], "Labels": {"odd": odd}, "ExposedPorts": {"80/tcp": {}},
              "WorkingDir": "/", "User": "1:1", "Entrypoint": ["some"]}  # fmt: skip
    found = add_image(layout, [layer], config=config, annotations={}, platform="linux/amd64")
    built = buildah(write_context(layout, found, tmp_path / "context"), tmp_path)
    assert f"ODD={odd}" in built.config["Env"]
    assert built.config["Labels"]["odd"] == odd


def _tree(layout, image):
    """Return every file's mode, owner and content, as the layers lie over each other."""
    found = {}
    for layer in image.layers:
        with tarfile.open(layout.path(layer.descriptor.digest)) as tar:
            for member in tar:
                if member.isfile():
                    content = tar.extractfile(member).read()
                    found[member.name] = (member.mode & 0o7777, member.uid, member.gid, content)
    return found


def test_a_dockerfile_names_a_base_that_others_can_find(built, parts, tmp_path):
    model, root, wheels = parts
    named = f"h.example/python@sha256:{'a' * 64}"
    bench = tiny.workbench(root, wheels)
    bench = replace(bench, base=replace(bench.base, name=named))
    image = build(model, NOTHING, bench=bench, folder=tmp_path / "images")
    layout = Layout(tmp_path / "images")
    file = write_context(layout, layout.resolve(image.digest), tmp_path / "context")
    assert file.read_text().startswith(f"FROM {named}\nADD 01-environment.tar.gz /\n")
    alone = package(replace(model, version=3), folder=tmp_path / "images")
    with pytest.raises(DeclarationError, match="is the model alone"):
        write_context(layout, layout.resolve(alone.digest), tmp_path / "other")
