"""`onward test`: the project's tests in a process of their own, and its result."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onward.app.testing.run import run_tests
from onward.core.errors import NotFoundError, OnwardError
from onward.surfaces.cli.commands import cli


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "onward.toml").write_text("")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "mine.py").write_text("answer = 42\n")
    (tmp_path / "tests" / "test_one.py").write_text(
        "import mine\nimport pytest\n\n"
        "def test_right():\n    assert mine.answer == 42\n\n"
        "def test_wrong():\n    assert mine.answer == 41\n\n"
        "@pytest.mark.skip\ndef test_later(): ...\n"
    )
    return tmp_path


def test_it_counts_and_exits_by_pytests_result(project: Path) -> None:
    done = CliRunner().invoke(cli, ["test", "--json", "-p", str(project)])
    told = json.loads(done.output)
    assert (done.exit_code, told["tests"], told["failed"], told["skipped"]) == (1, 3, 1, 1)
    found = run_tests(project, ["-k", "right", "-q"], quiet=True)
    assert (found.exit_code, found.tests, found.failed) == (0, 1, 0)
    assert run_tests(project, ["--no-such-option"], quiet=True).exit_code == 4


def test_a_project_without_tests_is_told_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match="has no tests that fit"):
        run_tests(project, ["-k", "nothing"], quiet=True)
    with pytest.raises(NotFoundError, match="no Onward project"):
        run_tests(project / "tests")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OnwardError, match=r"(?s)pytest is not installed.*onward\[test\]"):
        run_tests(project)
