"""The project's own tests, run by pytest in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from onward.app.settings.sources import read_settings
from onward.core.errors import NotFoundError, OnwardError

_NO_TESTS = 5  # pytest's exit code


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What pytest counted. `exit_code` is its own: 0 all passed, 1 some failed."""

    tests: int
    failed: int
    skipped: int
    seconds: float
    exit_code: int


def run_tests(folder: Path, words: Sequence[str] = (), *, quiet: bool = False) -> Tested:
    """Run the tests of the project in `folder`; `words` are pytest's own arguments.

    Its output goes where this process's goes, or nowhere if `quiet`.

    Raises
    ------
    NotFoundError
        There is no project, or it has no tests.
    OnwardError
        pytest is not installed.
    """
    folder = read_settings(folder).folder
    if importlib.util.find_spec("pytest") is None:
        raise OnwardError(
            "pytest is not installed", next_step="install it: pip install 'onward[test]'"
        )
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *words],
            cwd=folder,
            stdout=subprocess.DEVNULL if quiet else None,
            check=False,
        )
        if done.returncode == _NO_TESTS:
            raise NotFoundError(
                f"{folder} has no tests{' that fit' if words else ''}",
                expected="functions named test_… in files named test_….py, in the folder tests",
            )
        return _counted(report, done.returncode)


def _counted(report: Path, exit_code: int) -> Tested:
    suites = ET.parse(report).iter("testsuite") if report.is_file() else ()  # noqa: S314 (pytest wrote it)
    suite = next(iter(suites), ET.Element("testsuite"))
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    return Tested(
        tests=count["tests"],
        failed=count["failures"] + count["errors"],
        skipped=count["skipped"],
        seconds=float(suite.get("time", 0)),
        exit_code=exit_code,
    )
