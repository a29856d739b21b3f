from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onward as ow
from onward.core.errors import DeclarationError


def test_a_canary_keeps_what_it_was_given():
    guardrails = ow.Guardrails(max_loss_increase=None)
    canary = ow.Canary(steps=[1, 10], bake="2h", minimum=50, deadline="3d", guardrails=guardrails)
    assert canary.steps == (1, 10)
    assert (canary.bake, canary.deadline) == (timedelta(hours=2), timedelta(days=3))
    assert canary.guardrails.limits == {"error rate": 0.01, "latency": 1.0}
    assert [step.shares for step in canary.plan] == [{"candidate": 1}, {"candidate": 10}]


@given(st.lists(st.floats(0.1, 99.9), min_size=1, unique=True).map(sorted))
def test_a_hundred_percent_follows_the_last_step_and_is_none_itself(steps):
    assert ow.Canary(steps=[*steps, 100]) == ow.Canary(steps=steps)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": []}, "steps are"),
        ({"steps": [0, 5]}, "steps are"),
        ({"steps": [5, 5]}, "steps are"),
        ({"steps": [25, 5]}, "steps are"),
        ({"steps": [50, 101]}, "steps are"),
        ({"steps": 0}, "grows by 0"),
        ({"steps": [5, 25, 50], "maximum": 30}, "step of 50 % is beyond its maximum of 30 %"),
        ({"maximum": 0}, "maximum is 0"),
        ({"minimum": 5}, "minimum is 5"),
        ({"bake": "soon"}, "is not a duration"),
        ({"deadline": "0d"}, "is not a duration"),
    ],
)
def test_a_wrong_canary_is_refused_where_it_stands(changed, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        ow.Canary(**changed)
    assert refused.value.location.file == __file__
    assert refused.value.expected


def test_serving_refuses_what_it_does_not_know():
    assert (ow.Serving().log, ow.Serving(on_log_failure="serve").on_log_failure) == (None, "serve")
    with pytest.raises(DeclarationError, match="no guarantee 'stric'") as caught:
        ow.Serving(log="stric")  # type: ignore[arg-type]
    assert "did you mean 'strict'?" in str(caught.value)
    assert str(caught.value).startswith(__file__)
    with pytest.raises(DeclarationError, match="may have 0 rows"):
        ow.Serving(rows=0)
    with pytest.raises(DeclarationError, match="'soon' is not a duration"):
        ow.Serving(deadline="soon")
    with pytest.raises(DeclarationError, match="no policy 'ignore'"):
        ow.Serving(on_log_failure="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"alpha": 0}, "alpha is 0"),
        ({"alpha": 0.5}, "alpha is 0.5"),
        ({"max_error_increase": -0.1}, "the limit on error rate is -0.1"),
        (
            {"max_error_increase": None, "max_latency_increase": None, "max_loss_increase": None},
            "no guardrail",
        ),
    ],
)
def test_wrong_guardrails_are_refused_where_they_stand(changed, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        ow.Guardrails(**changed)
    assert refused.value.location.file == __file__


@pytest.mark.parametrize(
    ("by", "maximum", "steps"),
    [
        (15, 50, (15, 30, 45, 50)),
        (25, 100, (25, 50, 75)),
        (30, 100, (30, 60, 90)),
        (60, 50, (50,)),
        (0.1, 0.3, (0.1, 0.2, 0.3)),
    ],
)
def test_a_share_grows_up_to_its_maximum_whether_or_not_the_step_divides_it(by, maximum, steps):
    assert ow.Canary(steps=by, maximum=maximum).steps == pytest.approx(steps)
