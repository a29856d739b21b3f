import pytest

import onward as ow
from onward.core.errors import DeclarationError


def fit(X, y, max_depth=3, *, rate=0.1):
    return made(max_depth, rate)


def made(depth, rate):
    return (depth, rate, CONSTANT)


CONSTANT = 1


def only_rows(X): ...


def Fit(X, y): ...


def declare(body=fit, **changed):
    return ow.model(**({"features": [1], "label": 2, "task": "binary"} | changed))(body)


def test_a_model_is_named_by_its_function_with_its_defaults():
    model = declare(search={"max_depth": ow.integer(2, 8)}, slices=["country"])
    assert (model.name, model.task, model.holdout) == ("fit", "binary", 0.2)
    assert model.parameters == {"max_depth": 3, "rate": 0.1}
    assert set(model.search) == {"max_depth"}
    assert model.slices == ("country",)
    assert str(model.location) == f"{__file__}:{fit.__code__.co_firstlineno}"


def test_its_version_follows_the_code_that_trains(monkeypatch):
    model = declare()
    before = model.version
    monkeypatch.setitem(globals(), "CONSTANT", 2)
    assert model.version != before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"body": only_rows}, "takes"),
        ({"body": Fit}, "cannot name a model"),
        ({"task": "clasification"}, "no task 'clasification'"),
        ({"search": {"max_dept": None}}, "did you mean 'max_depth'"),
        ({"runtime": "onxx"}, "no runtime 'onxx'"),
        ({"holdout": 0}, "holdout is 0"),
        ({"holdout": 1.0}, "holdout is 1"),
        ({"window": "ninety days"}, "is not a duration"),
    ],
)
def test_a_wrong_model_is_refused_where_its_function_stands(changed, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        declare(**changed)
    body = changed.get("body", fit)
    assert str(refused.value.location) == f"{__file__}:{body.__code__.co_firstlineno}"
    assert refused.value.expected
