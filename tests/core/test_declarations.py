import pytest

from onward.core.declarations import defaults_of, parameters_of, require_checks, require_name
from onward.core.errors import DeclarationError, Location


def test_parameters_are_the_positional_ones():
    def function(X, y, depth=3, *rest, rate=0.1, **more):
        for local in rest:
            print(local)

    assert parameters_of(function) == ("X", "y", "depth")


def test_defaults_are_found_by_name():
    def function(X, y, depth=3, *, rate=0.1, required): ...

    assert defaults_of(function) == {"depth": 3, "rate": 0.1}
    assert defaults_of(lambda x: x) == {}


@pytest.mark.parametrize("name", ["flights", "late_15", "a"])
def test_lower_case_identifiers_may_name_things(name):
    assert require_name(name, "source", None) == name


@pytest.mark.parametrize("name", ["", "Flights", "two words", "1st", "_hidden", "a-b", "a.b", "é!"])
def test_other_names_are_refused_where_they_stand(name):
    with pytest.raises(DeclarationError, match="cannot name a source") as refused:
        require_name(name, "source", Location("pipeline.py", 4))
    assert str(refused.value).startswith("pipeline.py:4")
    assert "lower-case" in refused.value.expected


def test_checks_are_checks():
    import onward as ow

    check = ow.check("positive", None)
    assert require_checks([check], None) == (check,)
    with pytest.raises(DeclarationError, match="is no check") as refused:
        require_checks([check, "amount > 0"], Location("pipeline.py", 4))
    assert str(refused.value).startswith("pipeline.py:4")
