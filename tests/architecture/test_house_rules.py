"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

import onward

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "onward"

# Put together here, so that this file does not name them either.
REGISTRIES = [
    "pypi." + "org", "files.python" + "hosted", "anaconda." + "org", "extra-" + "index-url",
    "find-" + "links", "registry.npm" + "js", "crates." + "io", "docker." + "io",
]  # fmt: skip


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


PYTHON = [path for path in tracked() if path.suffix == ".py"]


def ours():
    return [p for p in PACKAGE.rglob("*.py") if "templates" not in p.relative_to(PACKAGE).parts]


def shown(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", onward.__all__)
def test_every_public_name_exists_and_says_what_it_is(name):
    assert getattr(onward, name).__doc__.strip()


def test_public_names_are_listed_in_order():
    assert sorted(onward.__all__) == onward.__all__


def test_nothing_public_is_missing_from_the_list():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module.startswith("onward.")
        for alias in node.names
    }
    assert imported - {"VERSION"} | {"load", "given"} == set(onward.__all__)


def test_no_file_names_a_registry():
    named = [
        (shown(path), registry)
        for path in tracked()
        for registry in REGISTRIES
        if registry in path.read_text(errors="replace")
    ]
    assert named == []


def test_constraints_pin_versions_and_name_no_address():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 50
    assert [p for p in pins if p.count("==") != 1 or "/" in p or "@" in p] == []


# The training set's tests share one shop of declarations; they are due for two files.
LONGER = {
    "tests/stages/features/test_training_set.py": 600,
}


@pytest.mark.parametrize("path", sorted({*ours(), *PYTHON}), ids=shown)
def test_no_file_is_too_long_to_read(path):
    assert len(path.read_text().splitlines()) < LONGER.get(shown(path), 400)


@pytest.mark.parametrize("room", sorted({p.parent for p in ours()}), ids=shown)
def test_every_room_says_what_it_is_for(room):
    words = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    assert words
    assert words.splitlines()[0].endswith((".", ":", "?"))


# Settings come from `app`; `infra` hands the environment on to child processes and vendors.
WITHOUT_ENVIRONMENT = ("core", "stages", "watch", "flow", "surfaces")


@pytest.mark.parametrize("room", WITHOUT_ENVIRONMENT)
def test_no_setting_is_read_from_the_environment_by_the_way(room):
    readers = [
        shown(path)
        for path in (PACKAGE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    assert readers == []


@pytest.mark.parametrize("room", ["core", "stages", "watch", "flow"])
def test_time_is_injected(room):
    """Only the system clock asks what time it is."""
    asking = [
        shown(path)
        for path in (PACKAGE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ASKS_THE_TIME
    ]
    assert set(asking) <= {"src/onward/core/clock.py"}


ASKS_THE_TIME = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time")


def test_test_files_have_names_of_their_own():
    """Pytest imports them by name: two of one name cannot run together."""
    names = [p.name for p in PYTHON if "tests" in p.parts and p.name != "conftest.py"]
    names = [name for name in names if name not in ("pipeline.py", "test_pipeline.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


SILENCED = re.compile(
    r"#\s*(?:noqa|type:\s*ignore)\b(: [A-Z]+\d+(?:, [A-Z]+\d+)*|\[[\w, -]+\])?(.*)"
)


def silences(text):
    """Return the comments that silence a linter, each with whether it names what and says why."""
    for line in text.splitlines():
        for named, why in SILENCED.findall(line):
            yield line.strip(), bool(named and why.strip(" #()"))


def test_what_is_silenced_is_named_with_a_reason():
    unsaid = [
        (shown(path), line)
        for path in ours()
        for line, said in silences(path.read_text())
        if not said
    ]
    assert unsaid == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x = eval(y)  # noqa: S307 (see ALLOWED)", True),
        ("x = eval(y)  # noqa: S307", False),
        ("x = eval(y)  # noqa: S307, S101", False),
        ("x = eval(y)  # noqa", False),
        ("x = eval(y)  # noqa (because)", False),
        ("x = y  # type: ignore[misc]  # it has no stubs", True),
        ("x = y  # type: ignore[arg-type, misc]", False),
        ("x = y  # type: ignore  # any", False),
    ],
)
def test_a_reason_is_words(line, said):
    assert [found for _, found in silences(line)] == [said]
