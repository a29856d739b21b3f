"""Whether units are assigned as declared: before anything is compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

RATIO_ALPHA: Final = 0.001
"""The chance that assignment is called wrong, over the whole release, while it is right."""

CONCENTRATION: Final = 100.0
"""How closely the alternative's prior lies about the declared shares."""


def evidence(strata: Sequence[tuple[Mapping[str, int], Mapping[str, float]]]) -> float:
    """Return the log of the evidence that units are not assigned by the shares declared.

    Each stratum holds how many units it was the first to see, by arm, and the declared shares,
    which add up to 1. A unit is counted in one stratum only: it keeps its hash, so its arm in a
    later step is no new draw. The evidence is the Bayes factor of a Dirichlet prior about the
    declared shares against those shares: under the declared assignment it exceeds 1 / alpha at
    any time with probability alpha at most (Lindon and Malek, arXiv 2011.03567). Units of an arm
    that has no share are infinite evidence.
    """
    total = 0.0
    for counts, shares in strata:
        if any(count and not shares.get(arm) for arm, count in counts.items()):
            return math.inf
        declared = {arm: share for arm, share in shares.items() if share > 0}
        n = sum(counts.values())
        if len(declared) < 2 or not n:
            continue
        total += math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + n)
        for arm, share in declared.items():
            prior, count = CONCENTRATION * share, counts.get(arm, 0)
            total += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return total


def mismatch(strata: Sequence[tuple[Mapping[str, int], Mapping[str, float]]]) -> str | None:
    """Say what is wrong with the assignment, if it is shown to be; else None."""
    if evidence(strata) <= -math.log(RATIO_ALPHA):
        return None
    seen = "; ".join(
        ", ".join(
            f"{arm} {counts.get(arm, 0)} of {sum(counts.values())} at {share:.3g}"
            for arm, share in shares.items()
        )
        for counts, shares in strata
    )
    return f"units are not assigned as declared ({seen} declared)"
