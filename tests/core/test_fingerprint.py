import importlib
import os
import subprocess
import sys
import textwrap
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core import fingerprint

SOURCE = '''
import json
from functools import wraps

LIMITS = {"long": 6_000, "short": 100}
ORIGINS = {"EWR", "JFK", "LGA"}


class Scale:
    factor = 2

    @property
    def half(self):
        return self.factor / 2

    @staticmethod
    def apply(x):
        return x * Scale.factor


def traced(function):
    @wraps(function)
    def call(*args):
        return function(*args)

    return call


@traced
def rule(x):
    return x in {"a", "b", "c", "d", "e"} and x != LIMITS["long"]


def subject(x, limit=3, *, exact=False):
    """What it does."""
    def nested(y):
        return twice(y) + limit

    if exact and x in ORIGINS:
        return json.dumps([Scale.apply(x), rule(x), Scale().half])
    try:
        return [nested(v) for v in x]
    except ValueError:
        return subject([x])


def twice(y):
    return 2 * y
'''


def load(source, name="users_file", file="pipeline.py"):
    module = types.ModuleType(name)
    exec(compile(textwrap.dedent(source), file, "exec"), module.__dict__)
    return module


def of(source, **where):
    return fingerprint.of_function(load(source, **where).subject)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"""What it does."""', ""),
        ('"""What it does."""', '"""Something else, at length."""'),
        ("import json\n", "import json\n\n\n# a remark\n"),
        ("def twice(y):\n", "def twice(y):\n    # doubled\n\n"),
        ("def twice(y):\n", "def twice(y: int) -> int:\n"),
        ("class Scale:\n", 'class Scale:\n    """A scale."""\n'),
        ("LIMITS = {", "UNRELATED = 1\nLIMITS = {"),
        ('{"EWR", "JFK", "LGA"}', '{"LGA", "JFK", "EWR"}'),
        ('{"long": 6_000, "short": 100}', '{"short": 100, "long": 6_000}'),
    ],
)
def test_what_a_function_does_not_do_does_not_count(before, after):
    assert before in SOURCE
    assert of(SOURCE.replace(before, after)) == of(SOURCE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("+ limit", "- limit"),
        ("limit=3", "limit=4"),
        ("exact=False", "exact=True"),
        ("def subject(x,", "def subject(z, x=1,"),
        ("2 * y", "3 * y"),
        ("6_000", "6_001"),
        ('"EWR", ', ""),
        ("factor = 2", "factor = 3"),
        ("self.factor / 2", "self.factor / 4"),
        ("x * Scale.factor", "x / Scale.factor"),
        ('"d", "e"', '"d", "f"'),
        ("json.dumps", "json.loads"),
        ("ValueError", "TypeError"),
        ("import json", "import pickle as json"),
        ("function(*args)", "function(*args[1:])"),
    ],
)
def test_what_it_does_counts_with_its_helpers_and_constants(before, after):
    assert before in SOURCE
    assert of(SOURCE.replace(before, after)) != of(SOURCE)


def test_the_files_place_and_name_do_not_count():
    assert of(SOURCE, name="moved", file="/elsewhere/other.py") == of(SOURCE)


def test_a_library_counts_by_name_alone():
    library = load("def helper():\n    return 1\n", name="library")
    here, there = (
        load("def subject():\n    return helper()\n"),
        load("def subject():\n    return helper()\n"),
    )
    here.helper = library.helper
    there.helper = load("def helper():\n    return 2\n", name="library").helper
    assert fingerprint.of_function(here.subject) == fingerprint.of_function(there.subject)


OWN = """
import beside
from beside import helper
import json

def subject(x):
    {}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder of the user's own modules: write one, and get the pipeline's fingerprint."""
    monkeypatch.syspath_prepend(tmp_path)

    def fingerprinted(beside, body):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "package").mkdir(parents=True)
        (folder / "package" / "__init__.py").write_text("")
        (folder / "package" / "inside.py").write_text(beside)
        (folder / "beside.py").write_text(beside)
        (folder / "pipeline_of_one.py").write_text(OWN.replace("{}", body))
        monkeypatch.syspath_prepend(folder)
        for name in ("beside", "pipeline_of_one"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return fingerprint.of_function(importlib.import_module("pipeline_of_one").subject)

    return fingerprinted


@pytest.mark.parametrize(
    "calls",
    [
        "helper(x)",
        "beside.helper(x)",
        "__import__('json') and beside.helper(x)",
        "[helper(y) for y in x]",
    ],
)
def test_the_users_own_modules_are_followed(project, calls):
    helper = "import json\n\ndef helper(x):\n    {}return x + {}\n"
    body = f"return {calls}"
    first = project(helper.format("", 1), body)
    assert project(helper.format("# moved\n    ", 1), body) == first
    assert project(helper.format("", 2), body) != first


@pytest.mark.parametrize("imported", ["import beside", "from package.inside import helper"])
def test_what_is_imported_inside_the_function_counts(project, imported):
    body = f"{imported}\n    return x"
    helper = "def helper(x):\n    return x + {}\n"
    assert project(helper.format(1), body) == project(helper.format(1), body)
    assert project(helper.format(1), body) != project(helper.format(2), body)


def test_where_a_statement_is_guarded_counts():
    source = "def subject(a, b):\n  try:\n    a()\n{}  b()\n  except KeyError:\n    pass\n{}"
    assert of(source.format("  ", "")) != of(
        source.replace("{}  b()\n", "{}").format("", "  b()\n")
    )


def test_closed_over_values_count():
    source = "def make(n):\n  def inner(x):\n    return x + n\n  return inner\nsubject = make({})"
    assert of(source.format(1)) != of(source.format(2))


def test_an_object_without_a_repr_counts_by_its_type():
    source = "class Thing:\n    pass\nthing = Thing()\ndef subject():\n    return thing\n"
    assert of(source) == of(source)


def test_an_ibis_expression_counts():
    source = "from ibis import _\nrule = _.delay > {}\ndef subject(t):\n    return t.filter(rule)\n"
    assert of(source.format(15)) == of(source.format(15))
    assert of(source.format(15)) != of(source.format(30))


def test_a_declarations_place_does_not_count():
    source = """
        import onward as ow
        rows = ow.check("positive", lambda t: t.x > {})
        def subject(t):
            return rows
        """
    moved = "\n\n\n" + textwrap.dedent(source)
    assert of(source.format(0)) == of(moved.format(0))
    assert of(source.format(0)) != of(source.format(1))


def test_every_process_gives_the_same_fingerprint(tmp_path):
    (tmp_path / "users_file.py").write_text(SOURCE)
    program = (
        "import users_file, cloudpickle, pickle; from onward.core import fingerprint\n"
        "cloudpickle.register_pickle_by_value(users_file)\n"
        "copied = pickle.loads(cloudpickle.dumps(users_file.subject))\n"
        "print(fingerprint.of_function(users_file.subject), fingerprint.of_function(copied))"
    )
    found = set()
    for seed in ("1", "2", "3"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.update(answer.stdout.split())
    assert found == {of(SOURCE)}


PARTS = st.lists(st.text(st.characters(exclude_characters="\x1f"), max_size=5), min_size=1)


@given(PARTS, PARTS)
def test_texts_share_a_fingerprint_only_if_they_are_equal(left, right):
    assert (fingerprint.of_text(*left) == fingerprint.of_text(*right)) == (left == right)
