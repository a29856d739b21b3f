"""dbt as a command, from an environment of its own: its pins and ours do not live together."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from onward.core.errors import DataError, DeclarationError, Location
from onward.stages.transform.adapters import dbt_artifacts
from onward.stages.transform.config import DbtProject
from onward.stages.transform.port import TARGET, DbtOutcome, Manifest

_TIME: Final = re.compile(r"^\d\d:\d\d:\d\d\s+", re.MULTILINE)
_LINES: Final = 12  # of what dbt says, when it says no


class DbtCommand:
    """Runs `command` (a name on the path, or a file relative to the project's folder).

    Manifests are kept in `state`, by the digest of the project's files.
    """

    def __init__(self, command: str, *, folder: Path, state: Path) -> None:
        self._command = command
        self._folder = folder
        self._state = state

    def manifest(self, project: DbtProject) -> Manifest:
        root = self._root(project)
        digest = dbt_artifacts.digest(root, project.vars)
        kept = self._state / project.name / f"{digest}.json"
        if kept.is_file():
            return msgspec.json.decode(kept.read_bytes(), type=Manifest)
        target = self._state / project.name / "target"
        done = self._run(project, target.parent, "parse")
        if done.returncode:
            raise DeclarationError(
                f"dbt refuses {project.folder}: {_said(done)}",
                expected="a project that `dbt parse` accepts",
                location=project.location,
            )
        found = dbt_artifacts.manifest(_json(target / "manifest.json"), digest, project)
        kept.write_bytes(msgspec.json.encode(found))
        return found

    def build(self, project: DbtProject, models: Sequence[str], *, scratch: Path) -> DbtOutcome:
        target = scratch / "target"
        selected = [f"+{model.split('.', 2)[2]}" for model in models]
        # Of tests that read several models, those alone whose models are all there.
        only = ("--indirect-selection", "buildable")
        done = self._run(project, scratch, "build", *only, "--select", *selected)
        if not (target / "run_results.json").is_file():
            raise DataError(
                f"dbt could not build {project.folder}: {_said(done)}", location=project.location
            )
        found, results = (_json(target / f"{n}.json") for n in ("manifest", "run_results"))
        self._require_no_errors(project, found, results)
        return dbt_artifacts.outcome(found, results)

    def _require_no_errors(
        self, project: DbtProject, found: dict[str, Any], results: dict[str, Any]
    ) -> None:
        broken = dbt_artifacts.broken(found, results)
        if broken is not None:
            file = self._root(project) / broken.file
            raise DataError(
                f"dbt's {broken.name} failed: {broken.message}",
                expected="models that build, and tests of sources and of the code that pass",
                next_step=f"`dbt build` in {project.folder} shows it too; then run again",
                location=Location(str(file), 1),
            )

    def _root(self, project: DbtProject) -> Path:
        root = self._folder / project.folder
        if not (root / "dbt_project.yml").is_file():
            raise DeclarationError(
                f"{root} is no dbt project",
                expected="a folder with a dbt_project.yml",
                location=project.location,
            )
        return root

    def _run(
        self, project: DbtProject, scratch: Path, verb: str, *words: str
    ) -> subprocess.CompletedProcess[str]:
        """Run dbt with its state in `scratch` and a profile that builds in a database there."""
        scratch.mkdir(parents=True, exist_ok=True)
        _write_profile(scratch)
        places = {
            "--project-dir": self._root(project),
            "--profiles-dir": scratch,
            "--profile": TARGET,
            "--target": TARGET,
            "--target-path": scratch / "target",
            "--log-path": scratch / "logs",
            "--vars": json.dumps(project.vars),
        }
        quiet = ("--no-version-check", "--no-send-anonymous-usage-stats", "--no-use-colors")
        given = [str(word) for pair in places.items() for word in pair]
        return subprocess.run(
            [self._executable(project), *quiet, verb, *given, *words],
            cwd=self._root(project),
            capture_output=True,
            text=True,
            check=False,
        )

    def _executable(self, project: DbtProject) -> str:
        beside = self._folder / self._command
        found = str(beside) if beside.is_file() else shutil.which(self._command)
        if found is None:
            raise DeclarationError(
                f"there is no command {self._command!r}",
                expected="dbt-core and dbt-duckdb, in an environment of their own",
                next_step="python -m venv .venv-dbt && .venv-dbt/bin/pip install dbt-duckdb, and "
                'in onward.toml: [transform] dbt = ".venv-dbt/bin/dbt"',
                location=project.location,
            )
        return found


def _write_profile(scratch: Path) -> None:
    """Write a profile whose target is one DuckDB file; others in the folder are attached to it."""
    others = sorted(p for p in scratch.glob("*.duckdb") if p.stem != TARGET)
    output = {
        "type": "duckdb",
        "path": str(scratch / f"{TARGET}.duckdb"),
        "schema": "main",
        "threads": 1,
        "settings": {"TimeZone": "UTC"},
        "attach": [{"path": str(path), "alias": path.stem} for path in others],
    }
    profile = {TARGET: {"target": TARGET, "outputs": {TARGET: output}}}
    (scratch / "profiles.yml").write_text(json.dumps(profile))  # JSON is YAML


def _json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = _TIME.sub("", done.stdout or done.stderr).strip().splitlines()
    start = next((i for i, line in enumerate(lines) if "rror" in line), 0)
    return "\n".join(line.strip() for line in lines[start : start + _LINES] if line.strip())
