from datetime import timedelta

import pytest

import onward as ow
from onward.core.errors import DeclarationError


@ow.model(features=[1], label=2, task="binary")
def order_return(X, y): ...


def test_a_model_alone_is_a_pipeline():
    pipeline = ow.Pipeline(model=order_return)
    assert (pipeline.gates, pipeline.acceptance, pipeline.monitors) == ((), (), ())
    assert pipeline.release == (ow.Canary(),)
    assert pipeline.every == timedelta(days=1)
    assert pipeline.on_breach is None
    assert pipeline.location.file == __file__


def test_gates_of_evaluation_and_of_acceptance_are_told_apart():
    least, quick = ow.at_least("roc_auc", 0.6), ow.latency(p99_ms=10)
    pipeline = ow.Pipeline(model=order_return, gates=[quick, least])
    assert pipeline.gates == (least,)
    assert pipeline.acceptance == (quick,)


def test_the_rest_is_kept_in_order():
    monitors = [ow.drift(), ow.performance("roc_auc"), ow.operational(), ow.freshness("1d")]
    pipeline = ow.Pipeline(
        model=order_return,
        release=ow.Canary(steps=[10]),
        monitors=monitors,
        every="6h",
        on_breach=ow.retrain(),
    )
    assert pipeline.monitors == tuple(monitors)
    assert [c.steps for c in pipeline.release] == [(10,)]
    assert pipeline.every == timedelta(hours=6)
    assert pipeline.on_breach == ow.retrain()


def unmarked(X, y): ...


@pytest.mark.parametrize(
    ("changed", "holds", "hint"),
    [
        ({"model": unmarked}, "model holds", "@ow.model"),
        ({"gates": [ow.drift()]}, "gates holds", "ow.at_least"),
        ({"gates": ["roc_auc"]}, "gates holds", "ow.at_least"),
        ({"monitors": [ow.at_least("roc_auc", 0.6)]}, "monitors holds", "ow.drift"),
        ({"release": [5, 25]}, "release holds", "ow.Canary"),
        ({"on_breach": ow.drift()}, "on_breach holds", "ow.retrain"),
        ({"every": "often"}, "is not a duration", "30d"),
    ],
)
def test_what_does_not_belong_is_refused_where_it_stands(changed, holds, hint):
    with pytest.raises(DeclarationError, match=holds) as refused:
        ow.Pipeline(**({"model": order_return} | changed))
    assert refused.value.location.file == __file__
    assert hint in refused.value.expected
