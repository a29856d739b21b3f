import pytest

import onward as ow
from onward.core.errors import DeclarationError


def test_a_latency_gate_keeps_its_limit():
    gate = ow.latency(p99_ms=10)
    assert (gate.p99_ms, gate.requests) == (10, 300)
    assert gate.location.file == __file__


@pytest.mark.parametrize("wrong", [{"p99_ms": 0}, {"p99_ms": -1}, {"p99_ms": 5, "requests": 0}])
def test_a_limit_that_nothing_can_meet_is_refused(wrong):
    with pytest.raises(DeclarationError, match="the latency gate asks for") as refused:
        ow.latency(**wrong)
    assert refused.value.location.file == __file__
