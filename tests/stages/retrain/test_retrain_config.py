from datetime import timedelta

import pytest

import onward as ow
from onward.core.errors import DeclarationError


def test_a_policy_keeps_what_it_was_given():
    policy = ow.retrain(cooldown="7d", persist=3)
    assert (policy.cooldown, policy.persist) == (timedelta(days=7), 3)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"persist": 0}, "persist is 0"), ({"cooldown": "never"}, "is not a duration")],
)
def test_a_wrong_policy_is_refused_where_it_stands(wrong, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        ow.retrain(**wrong)
    assert refused.value.location.file == __file__
