"""How far two histograms are apart, less what chance puts between two samples of one source."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

_PSEUDO: Final = 0.5  # added to each count, so that an empty bin is rare and not impossible


def psi(reference: np.ndarray, observed: np.ndarray) -> float:
    """The population stability index, Σ (q - p) ln(q / p) over the bins' shares p and q.

    Siddiqi 2006, "Credit Risk Scorecards", p. 139; it is Jeffreys' divergence. Of two samples of
    n and m rows from one source it has the mean (B - 1)(1/n + 1/m) over B bins (Yurdakul and
    Naranjo 2020, "Statistical properties of the population stability index", Journal of Risk
    Model Validation 14(4), section 3); that is taken off, and the result is not below 0.
    """
    p, q, chance = _shares(reference, observed)
    return max(0.0, float(np.sum((q - p) * np.log(q / p))) - chance)


def jensen_shannon(reference: np.ndarray, observed: np.ndarray) -> float:
    """The Jensen-Shannon distance in base 2, from 0 (alike) to 1 (disjoint).

    The square root of the divergence of Lin 1991, "Divergence measures based on the Shannon
    entropy", IEEE Transactions on Information Theory 37(1), (3.3); a metric by Endres and
    Schindelin 2003. To second order the divergence is an eighth of Jeffreys', so an eighth of
    `psi`'s mean by chance is taken off before the root.
    """
    p, q, chance = _shares(reference, observed)
    middle = (p + q) / 2
    divergence = float(np.sum(p * np.log(p / middle) + q * np.log(q / middle))) / 2
    return math.sqrt(max(0.0, divergence - chance / 8) / math.log(2))


def _shares(reference: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return both histograms' shares over the bins that are in use, and PSI's mean by chance."""
    used = (reference + observed) > 0
    p, q = reference[used] + _PSEUDO, observed[used] + _PSEUDO
    chance = (len(p) - 1) * (1 / reference.sum() + 1 / observed.sum())
    return p / p.sum(), q / q.sum(), float(chance)
