"""Distributions copied from here: what is importable, and nothing of this machine."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata

import pytest

from onward.core.errors import DeclarationError, UnavailableError
from onward.stages.deploy.adapters.installed import Installed
from onward.stages.deploy.image.lock import Lock

PYTHON = ".".join(platform.python_version_tuple()[:2])
HERE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[platform.machine()]


def test_a_copy_imports_where_nothing_else_is(tmp_path):
    pins = {name: metadata.version(name) for name in ("msgspec", "xxhash", "cloudpickle")}
    found = Installed().install(Lock(python=PYTHON, pins=pins), tmp_path, platform=HERE)
    assert {c.name: c.version for c in found} == pins
    code = f"import sys; sys.path.append({str(tmp_path)!r}); import msgspec, xxhash, cloudpickle"
    shown = "; from importlib import metadata; print(metadata.version('xxhash'))"
    command = [sys.executable, "-I", "-S", "-B", "-c", code + shown]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == pins["xxhash"]
    names = {path.name for path in tmp_path.rglob("*")}
    assert not names & {"__pycache__", "INSTALLER", "REQUESTED", "direct_url.json", "bin"}
    record = next(tmp_path.glob("xxhash-*.dist-info/RECORD")).read_text()
    assert ".pyc" not in record
    assert "xxhash/__init__.py" in record


def test_another_interpreter_or_platform_is_refused(tmp_path):
    for python, there in (("3.99", HERE), (PYTHON, "linux/s390x")):
        with pytest.raises(DeclarationError, match="the image is for Python") as refused:
            Installed().install(Lock(python=python), tmp_path, platform=there)
        assert "wheels" in refused.value.next_step


def test_another_version_than_the_recorded_is_refused(tmp_path):
    for name in ("msgspec", "no-such-thing"):
        with pytest.raises(UnavailableError, match=f"{name} 0.0.1 is not installed here"):
            Installed().install(Lock(python=PYTHON, pins={name: "0.0.1"}), tmp_path, platform=HERE)
