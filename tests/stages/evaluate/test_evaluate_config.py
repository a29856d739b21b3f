import pytest

import onward as ow
from onward.core.errors import DeclarationError


def test_gates_keep_what_they_were_given():
    assert (ow.at_least("roc_auc", 0.7).metric, ow.at_least("roc_auc", 0.7).value) == (
        "roc_auc",
        0.7,
    )
    beats = ow.beats_champion("rmse", margin=-0.1, confidence=0.9)
    assert (beats.metric, beats.margin, beats.confidence) == ("rmse", -0.1, 0.9)
    fair = ow.fair("origin", at_least=0.8, threshold=0.5)
    assert (fair.column, fair.measure, fair.at_least, fair.at_most, fair.threshold) == (
        "origin", "selection_rate_ratio", 0.8, None, 0.5,
    )  # fmt: skip
    robust = ow.robust(noise=0.1, max_drop=0, metric="roc_auc")
    assert (robust.noise, robust.max_drop, robust.metric) == (0.1, 0, "roc_auc")


def test_equal_gates_are_equal_wherever_they_stand():
    one = ow.at_least("roc_auc", 0.7)
    two = ow.at_least("roc_auc", 0.7)
    assert one == two
    assert one.location != two.location


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda: ow.beats_champion("roc_auc", confidence=95), "confidence is 95"),
        (lambda: ow.beats_champion("roc_auc", confidence=0.2), "confidence is 0.2"),
        (lambda: ow.fair("origin"), "has no bound"),
        (lambda: ow.robust(noise=0), "noise is 0"),
        (lambda: ow.robust(max_drop=-1), "max_drop -1"),
    ],
)
def test_a_gate_that_means_nothing_is_refused_where_it_stands(declare, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        declare()
    assert refused.value.location.file == __file__
    assert refused.value.expected
