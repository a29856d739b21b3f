import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core import errors
from onward.core.errors import Location, OnwardError, nearest, unknown_name

KINDS = [OnwardError, *OnwardError.__subclasses__()]


def test_an_error_says_where_what_what_was_right_and_what_next():
    error = errors.DeclarationError(
        "there is no metric 'auc'",
        expected="roc_auc",
        next_step="correct the name",
        location=Location("pipeline.py", 12),
    )
    assert str(error).splitlines() == [
        "pipeline.py:12: there is no metric 'auc'",
        "  expected: roc_auc",
        "  next: correct the name",
    ]


def test_what_is_absent_is_not_printed():
    assert str(OnwardError("no")) == "no"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_processes_whole(kind):
    error = kind("what", expected="right", next_step="do", location=Location("f.py", 3))
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is kind
    assert str(copied) == str(error)
    assert copied.location == error.location


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_exit_code_that_a_shell_can_read(kind):
    assert 0 < kind.exit_code < 126
    assert kind.__doc__


@pytest.mark.parametrize(
    ("name", "found"), [("orgin", "origin"), ("origin", "origin"), ("zzz", None), ("", None)]
)
def test_the_nearest_name_is_meant(name, found):
    assert nearest(name, {"origin", "carrier", "dest"}) == found


def test_an_unknown_name_lists_what_there_is():
    what, expected = unknown_name("source", "flihgts", ["weather", "flights"])
    assert what == "there is no source 'flihgts'"
    assert expected == "did you mean 'flights'? one of: flights, weather"


def test_an_unknown_name_where_nothing_is_declared():
    assert unknown_name("source", "x", [])[1] == "a source, of which there is none yet"
    assert unknown_name("option", "x", [])[1] == "an option, of which there is none yet"


@given(st.lists(st.text(min_size=1), min_size=13, max_size=30, unique=True))
def test_a_long_list_is_cut_and_says_so(names):
    _, expected = unknown_name("column", "\0", names)
    assert expected.endswith(", …")
