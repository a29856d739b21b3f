"""Effect sizes: their formulas, what chance gives, their bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core import distance


def test_the_distances_are_their_formulas():
    p, q = np.array([600_000, 400_000]), np.array([300_000, 700_000])
    assert distance.psi(p, q) == pytest.approx(
        (0.3 - 0.6) * np.log(0.3 / 0.6) + (0.7 - 0.4) * np.log(0.7 / 0.4), abs=1e-4
    )
    middle = np.array([0.45, 0.55])
    divergence = sum(
        0.5 * np.sum(share * np.log2(share / middle))
        for share in (np.array([0.6, 0.4]), np.array([0.3, 0.7]))
    )
    assert distance.jensen_shannon(p, q) == pytest.approx(np.sqrt(divergence), abs=1e-4)
    apart = np.array([10_000, 0]), np.array([0, 10_000])
    assert distance.jensen_shannon(*apart) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("measure", [distance.psi, distance.jensen_shannon])
def test_chance_is_taken_off(measure):
    draw = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    pairs = [(draw.multinomial(2_000, shares), draw.multinomial(250, shares)) for _ in range(300)]
    values = np.array([measure(*pair) for pair in pairs])
    assert np.quantile(values, 0.95) < 0.07 if measure is distance.psi else 0.15
    assert np.mean(values == 0) > 0.4  # half of all samples are below the mean of chance


@given(
    counts=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12)
)
def test_distances_are_symmetric_and_bounded(counts):
    p, q = (np.array(side) for side in zip(*counts, strict=True))
    if p.sum() == 0 or q.sum() == 0:
        p, q = p + 1, q + 1
    for measure, most in ((distance.psi, np.inf), (distance.jensen_shannon, 1.0)):
        assert 0 <= measure(p, q) <= most
        assert measure(p, q) == pytest.approx(measure(q, p))
        assert measure(p, p) == 0


def test_the_mean_difference_is_in_standard_deviations():
    assert distance.mean_difference((1.0, 2.0), (4.0, 2.0)) == 1.5
    assert distance.mean_difference((0.0, 3.0), (5.0, 4.0)) == 5 / math.sqrt(12.5)
    assert distance.mean_difference((7.0, 0.0), (7.0, 0.0)) == 0
    assert distance.mean_difference((7.0, 0.0), (7.1, 0.0)) == math.inf
