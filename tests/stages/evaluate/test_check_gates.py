from __future__ import annotations

import pytest

import onward as ow
from onward.core.errors import DeclarationError
from onward.stages.evaluate.gates import check_gates

COLUMNS = ("flight_id", "origin")


def test_gates_that_can_be_answered_pass():
    gates = [
        ow.at_least("roc_auc", 0.6),
        ow.beats_champion("log_loss", margin=-0.1),
        ow.fair("origin", at_least=0.8),
        ow.robust(),
        ow.robust(metric="brier"),
    ]
    check_gates(gates, "binary", COLUMNS)


def test_a_column_is_not_judged_before_columns_are_known():
    check_gates([ow.fair("anything", at_least=0.8)], "binary", None)


@pytest.mark.parametrize(
    ("gate", "task", "said"),
    [
        (ow.at_least("roc_acu", 0.6), "binary", "did you mean 'roc_auc'"),
        (ow.beats_champion("rmse"), "binary", "no metric of a binary task 'rmse'"),
        (ow.robust(metric="roc_auc"), "multiclass", "'roc_auc'"),
        (ow.fair("orign", at_least=0.8), "binary", "did you mean 'origin'"),
        (ow.fair("origin", "selection_ratio", at_least=1), "binary", "selection_rate_ratio"),
        (ow.fair("origin", at_least=0.8), "regression", "cannot be asked of a regression"),
    ],
)
def test_a_gate_that_cannot_be_answered_is_refused_where_it_stands(gate, task, said):
    with pytest.raises(DeclarationError, match=said) as caught:
        check_gates([gate], task, COLUMNS)
    assert caught.value.location == gate.location
