"""The direction of imports holds, and each contract catches a violation of it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

HOUSE = "The house: imports run one way"
FLOW = "The flow: its rooms import those below them"
GATEWAY = "The gateway: its rooms import those below them"
STAGES = "Stages never import stages"
WATCHERS = "Watchers never import watchers"
ADAPTERS = "Adapters are reached through their port"
CORE = "The core knows no vendor"

VIOLATIONS = [
    (HOUSE, "core/refs.py", "import onward.stages.ingest.config"),
    (HOUSE, "core/refs.py", "import onward.infra.database"),
    (HOUSE, "stages/ingest/config.py", "import onward.flow.pipeline.declared"),
    (HOUSE, "stages/ingest/config.py", "import onward.watch.audit"),
    (HOUSE, "infra/lake/__init__.py", "import onward.stages.ingest.config"),
    (HOUSE, "flow/pipeline/declared.py", "import onward.app.settings.sections"),
    (HOUSE, "app/settings/sections.py", "import onward.surfaces.cli"),
    (HOUSE, "helpers/__init__.py", '"""A room that no layer holds."""'),
    (FLOW, "flow/release/judge.py", "import onward.flow.run.watch"),
    (GATEWAY, "stages/serve/gateway/turn/tick.py", "import onward.stages.serve.gateway.rpc"),
    (GATEWAY, "stages/serve/gateway/more.py", '"""A file that no layer holds."""'),
    (STAGES, "stages/validate/config.py", "import onward.stages.ingest.config"),
    (WATCHERS, "watch/audit/__init__.py", "import onward.watch.lineage"),
    (ADAPTERS, "flow/pipeline/declared.py", "def later():\n    import onward.infra.lake"),
    (CORE, "core/refs.py", "def later():\n    import pandas"),
]


def lint(folder):
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def house(tmp_path):
    """A copy of the package beside the contracts, to be broken."""
    shutil.copytree(
        ROOT / "src" / "onward", tmp_path / "onward", ignore=shutil.ignore_patterns("templates")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold():
    run = lint(ROOT)
    assert run.returncode == 0, run.stdout


def test_every_contract_is_seen_to_fail():
    assert {contract["name"] for contract in LINTER["contracts"]} == {
        name for name, _, _ in VIOLATIONS
    }


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS)
def test_a_violation_is_caught(house, contract, file, line):
    broken = house / "onward" / file
    broken.parent.mkdir(exist_ok=True)
    with broken.open("a") as opened:
        opened.write(f"\n{line}\n")
    run = lint(house)
    assert run.returncode == 1, run.stdout
    assert f"{contract} BROKEN" in run.stdout
    culprit = "onward." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert culprit in run.stdout or culprit.rpartition(".")[2] in run.stdout
