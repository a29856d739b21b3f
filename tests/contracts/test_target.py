"""What every target does, ours or another package's."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
import yaml

from onward.app.deployment import EMBEDDED, find_target
from workloads import workload

NAMES = [entry.name for entry in EMBEDDED]


@pytest.fixture(params=NAMES)
def target(request):
    return find_target(request.param)


def test_files_have_paths_of_their_own_and_can_be_read(target):
    files = target.render(workload())
    assert files
    for name, text in files.items():
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert text.endswith("\n") or name.endswith(".json")
        if not name.startswith("templates/"):
            assert yaml.safe_load(text) is not None


def test_the_same_workload_gives_the_same_files(target):
    assert target.render(workload(namespace="a")) == target.render(workload(namespace="a"))


def test_images_are_named_by_digest_and_nothing_names_this_machine(target):
    text = "".join(target.render(workload()).values())
    assert "/home/ada" not in text
    if "image" in text:
        assert text.count("registry.example/") == text.count("@sha256:")


def test_the_command_is_told_where_the_files_are(target):
    command = target.command(Path("/files"), workload())
    assert not command or any("/files" in word for word in command)
