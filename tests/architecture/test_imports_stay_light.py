"""What a person waits for imports no vendor library."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

LOADED = """
import sys
before = set(sys.modules)
{program}
names = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print("\\nLOADED", *sorted(names - set(sys.stdlib_module_names)))
"""

HELP = """
sys.argv = ["onward", {words}]
from onward.surfaces.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def loaded(program):
    run = subprocess.run(
        [sys.executable, "-c", LOADED.format(program=program)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(run.stdout.rpartition("LOADED")[2].split())


def vendors():
    """Return the import names of every declared dependency but the command line's own."""
    declared = {Requirement(line).name.lower() for line in PROJECT["dependencies"]} - {"typer"}
    return {
        name
        for name, distributions in packages_distributions().items()
        if declared & {d.lower() for d in distributions}
    }


def test_the_sdk_loads_the_standard_library_and_itself():
    assert loaded("import onward") == {"onward"}


def test_help_loads_no_vendor():
    names = loaded(HELP.format(words='"--help"'))
    assert "onward" in names
    assert names & vendors() == set()


def test_a_commands_help_loads_no_vendor():
    assert loaded(HELP.format(words='"run", "--help"')) & vendors() == set()


def test_vendors_are_known_by_their_import_names():
    assert vendors() >= {"duckdb", "ibis", "mlflow", "pandas", "pyarrow", "sklearn", "sqlalchemy"}
