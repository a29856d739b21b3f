"""Bases: an image of another layout, and what a base is seen to hold."""

from __future__ import annotations

import json

import pytest

import small_images as tiny
from onward.core.errors import CorruptError, NotFoundError
from onward.stages.deploy.adapters.cyclonedx import _component
from onward.stages.deploy.image.base import LayoutBase, RootBase, inspect
from onward.stages.deploy.oci.descriptor import INDEX, canonical
from onward.stages.deploy.oci.image import add_image, read_image
from onward.stages.deploy.oci.layout import Layout

PLATFORM = "linux/amd64"
APK = "P:musl\nV:1.2.5\nA:x86_64\n\nP:zlib\nV:1.3\n"


@pytest.fixture
def other(tmp_path) -> Layout:
    """A layout with two images: ``python:3.11``, and ``python:3.13`` as an index of platforms."""
    layout = Layout(tmp_path / "other")
    for python in ("3.11", "3.13"):
        root = tiny.root(tmp_path / python, python)
        made = RootBase(root).fetch(layout, platform=PLATFORM)
        found = add_image(layout, made.layers, config={}, annotations={}, platform=PLATFORM)
        if python == "3.13":
            platform = {"os": "linux", "architecture": "amd64"}
            listed = {"manifests": [{**found.to_json(), "platform": platform}]}
            found = layout.put(canonical(listed), INDEX)
        layout.list_entry(found, tag=f"python:{python}")
    return layout


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_an_image_of_a_layout_is_copied_and_looked_through(other, tmp_path, python):
    layout = Layout(tmp_path / "images")
    base = LayoutBase(other.folder, f"python:{python}").fetch(layout, platform=PLATFORM)
    assert base.platform == PLATFORM
    assert [x.descriptor.annotations for x in base.layers] == [{"dev.onward.layer": "base"}]
    found = inspect(layout, base)
    assert found.pythons == {python: f"/usr/bin/python{python}"}
    assert [(c.name, c.version) for c in found.components] == [
        ("libc6", "2.36-9"),
        ("tzdata", "2026a"),
    ]
    assert layout.has(base.descriptor.digest)


def test_a_layout_with_one_image_needs_no_tag(other, tmp_path):
    alone = Layout(tmp_path / "alone")
    made = RootBase(tmp_path / "3.11").fetch(alone, platform=PLATFORM)
    alone.list_entry(add_image(alone, made.layers, config={}, annotations={}, platform=PLATFORM))
    fetched = LayoutBase(alone.folder).fetch(Layout(tmp_path / "images"), platform=PLATFORM)
    assert fetched.layers[0].diff_id == made.layers[0].diff_id


def test_what_is_not_there_or_was_altered_is_refused(other, tmp_path):
    layout = Layout(tmp_path / "images")
    with pytest.raises(NotFoundError, match=r"no image 'python:3\.12'"):
        LayoutBase(other.folder, "python:3.12").fetch(layout, platform=PLATFORM)
    with pytest.raises(NotFoundError, match="holds no image"):
        LayoutBase(tmp_path / "nowhere").fetch(layout, platform=PLATFORM)
    with pytest.raises(NotFoundError, match="no root file system"):
        RootBase(tmp_path / "nowhere").fetch(layout, platform=PLATFORM)
    with pytest.raises(NotFoundError, match="no image for linux/s390x"):
        LayoutBase(other.folder, "python:3.13").fetch(layout, platform="linux/s390x")
    image = read_image(other, other.resolve("python:3.11"))
    other.path(image.layers[0].descriptor.digest).write_bytes(b"other")
    with pytest.raises(CorruptError, match="was altered"):
        LayoutBase(other.folder, "python:3.11").fetch(layout, platform=PLATFORM)
    config = other.json(image.descriptor.digest)
    broken = other.put(json.dumps({"config": config["config"]}).encode(), "m")
    with pytest.raises(CorruptError, match="is no image"):
        read_image(other, broken)


LEFT = """
Package: curl
Status: deinstall ok config-files
Architecture: amd64
Version: 7.88

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36-9
"""


def test_what_was_removed_is_no_part_of_a_base_and_its_distribution_is_known(tmp_path):
    root = tiny.root(tmp_path / "root")
    status = root / "var" / "lib" / "dpkg" / "status"
    status.write_text(status.read_text() + LEFT)
    (root / "etc").mkdir()
    (root / "etc" / "os-release").write_text('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n')
    layout = Layout(tmp_path / "images")
    found = inspect(layout, RootBase(root).fetch(layout, platform=PLATFORM))
    assert [(c.name, c.architecture, c.distro) for c in found.components] == [
        ("libc6", "amd64", "ubuntu"),
        ("libc6", "i386", "ubuntu"),
        ("tzdata", "all", "ubuntu"),
    ]
    assert str(_component(found.components[0]).purl) == "pkg:deb/ubuntu/libc6@2.36-9?arch=amd64"


@pytest.mark.parametrize("place", ["lib", "usr/lib"])
def test_alpines_packages_are_listed_too(tmp_path, place):
    root = tmp_path / "root"
    (root / place / "apk" / "db").mkdir(parents=True)
    (root / place / "apk" / "db" / "installed").write_text(APK)
    layout = Layout(tmp_path / "images")
    found = inspect(layout, RootBase(root).fetch(layout, platform=PLATFORM))
    assert [(c.kind, c.name, c.version, c.architecture) for c in found.components] == [
        ("apk", "musl", "1.2.5", "x86_64"),
        ("apk", "zlib", "1.3", ""),
    ]
