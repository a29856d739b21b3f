from datetime import timedelta

import pytest

import onward as ow
from onward.core.errors import DeclarationError


def test_monitors_keep_what_they_were_given():
    drift = ow.drift("jensen_shannon", limit=0.1, columns=["price"], share=0.5)
    assert (drift.measure, drift.limit, drift.columns, drift.share) == (
        "jensen_shannon", 0.1, ("price",), 0.5,
    )  # fmt: skip
    assert ow.drift().columns is None
    assert ow.operational(max_error_rate=0.02, p99_ms=5).p99_ms == 5
    assert ow.freshness("2h", source="orders").limit == timedelta(hours=2)


def test_performance_has_a_bound_even_if_none_is_given():
    assert ow.performance("roc_auc").max_drop == 0.05
    assert ow.performance("roc_auc", at_least=0.6).max_drop is None
    assert ow.performance("roc_auc", max_drop=0.01).at_least is None


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda: ow.drift("pis"), "did you mean 'psi'"),
        (lambda: ow.drift(limit=0), "drift's limit is 0"),
        (lambda: ow.drift(share=0), "its share 0"),
        (lambda: ow.drift(share=30), "its share 30"),
        (lambda: ow.operational(max_error_rate=5), "max_error_rate is 5"),
        (lambda: ow.operational(p99_ms=0), "p99_ms 0"),
        (lambda: ow.freshness("often"), "is not a duration"),
    ],
)
def test_a_wrong_monitor_is_refused_where_it_stands(declare, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        declare()
    assert refused.value.location.file == __file__
    assert refused.value.expected
