"""How far two samples of one column are apart: effect sizes, which do not grow with the rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

_PSEUDO: Final = 0.5  # added to each count, so that an empty bin is rare and not impossible


def psi(reference: Iterable[float], observed: Iterable[float]) -> float:
    """The population stability index of two histograms, less what chance puts between them.

    Σ (q - p) ln(q / p) over the bins' shares p and q: Siddiqi 2006, "Credit Risk Scorecards",
    p. 139; it is Jeffreys' divergence. Of two samples of n and m rows from one source it has the
    mean (B - 1)(1/n + 1/m) over B bins (Yurdakul and Naranjo 2020, "Statistical properties of the
    population stability index", Journal of Risk Model Validation 14(4), section 3); that is taken
    off, and the result is not below 0.

    `reference` and `observed` are counts in the same bins.
    """
    p, q, chance = _shares(reference, observed)
    divergence = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    return max(0.0, divergence - chance)


def jensen_shannon(reference: Iterable[float], observed: Iterable[float]) -> float:
    """The Jensen-Shannon distance of two histograms in base 2, from 0 (alike) to 1 (disjoint).

    The square root of the divergence of Lin 1991, "Divergence measures based on the Shannon
    entropy", IEEE Transactions on Information Theory 37(1), (3.3); a metric by Endres and
    Schindelin 2003. To second order the divergence is an eighth of Jeffreys', so an eighth of
    `psi`'s mean by chance is taken off before the root.
    """
    p, q, chance = _shares(reference, observed)
    divergence = 0.0
    for a, b in zip(p, q, strict=True):
        middle = (a + b) / 2
        divergence += (a * math.log(a / middle) + b * math.log(b / middle)) / 2
    return math.sqrt(max(0.0, divergence - chance / 8) / math.log(2))


def mean_difference(reference: tuple[float, float], observed: tuple[float, float]) -> float:
    """The standardized mean difference of two samples, each given as (mean, standard deviation).

    |x - y| / sqrt((s² + t²) / 2): Cohen 1988, "Statistical Power Analysis for the Behavioral
    Sciences", (2.5.1) and (2.5.2). Without any spread it is 0 for equal means, else infinite.
    """
    (x, s), (y, t) = reference, observed
    pooled = math.sqrt((s * s + t * t) / 2)
    if pooled == 0:
        return 0.0 if x == y else math.inf
    return abs(x - y) / pooled


def _shares(
    reference: Iterable[float], observed: Iterable[float]
) -> tuple[list[float], list[float], float]:
    """Return both histograms' shares over the bins that are in use, and PSI's mean by chance."""
    used = [(float(a), float(b)) for a, b in zip(reference, observed, strict=True) if a + b > 0]
    n, m = sum(a for a, _ in used), sum(b for _, b in used)
    chance = (len(used) - 1) * (1 / n + 1 / m)
    pseudo = _PSEUDO * len(used)
    p = [(a + _PSEUDO) / (n + pseudo) for a, _ in used]
    q = [(b + _PSEUDO) / (m + pseudo) for _, b in used]
    return p, q, chance
