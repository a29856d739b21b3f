import pytest

import onward as ow
from onward.core.errors import DeclarationError


def test_ranges_keep_their_bounds():
    depth, rate = ow.integer(2, 8), ow.real(0.01, 1, log=True)
    assert (depth.kind, depth.low, depth.high, depth.log) == ("integer", 2, 8, False)
    assert (rate.kind, rate.low, rate.high, rate.log) == ("real", 0.01, 1, True)
    assert ow.categorical("l1", None).choices == ("l1", None)


@pytest.mark.parametrize(
    "declare",
    [
        lambda: ow.integer(8, 2),
        lambda: ow.integer(2, 2),
        lambda: ow.real(0, 1, log=True),
        lambda: ow.real(-1, 1, log=True),
        ow.categorical,
    ],
)
def test_an_empty_range_is_refused_where_it_stands(declare):
    with pytest.raises(DeclarationError, match=r"empty|no choices") as refused:
        declare()
    assert refused.value.location.file == __file__
