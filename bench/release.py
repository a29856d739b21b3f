"""What release rules do under a known truth, simulated: false verdicts, power, answers needed.

Two arms of error rates, a look every 100 answers of an arm up to 10,000, alpha 5 %. "Ours" is the
confidence sequence that decides releases; beside it stand the fixed-size z test looked at every
time, the same test looked at once at the end, and thresholds as Flagger's (five intervals of 100
answers above a limit abort, else the release is promoted).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.report import Row
from onward.stages.serve.release.simulate import (
    Looks,
    Outcome,
    error_rates,
    fixed,
    sequence,
    thresholds,
)

ALPHA = 0.05
BASE = 0.05


def run(quick: bool) -> Sequence[Row]:
    """Simulate each truth, and judge it by each rule."""
    return [*_rows(200 if quick else 2_000)]


def _rows(runs: int) -> Iterator[Row]:
    for candidate, target in ((0.05, "<= 0.05"), (0.06, ""), (0.08, ">= 0.99"), (0.10, ">= 0.99")):
        looks = error_rates(BASE, candidate, runs=runs, looks=100, each=100, seed=1)
        name = f"errors {BASE:.0%} to {candidate:.0%}: aborted"
        yield from _compared(looks, name, 0.0, target, lambda found: found.aborted, runs)
    looks = error_rates(BASE, 0.06, runs=runs, looks=100, each=100, seed=2)
    name = "errors 5% to 6%, 1 point tolerated: promoted"
    yield from _compared(looks, name, 0.01, "<= 0.05", lambda found: found.promoted, runs)


def _compared(
    looks: Looks,
    name: str,
    tolerance: float,
    target: str,
    figure: Callable[[Outcome], float],
    runs: int,
) -> Iterator[Row]:
    ours = sequence(looks, alpha=ALPHA, tolerance=tolerance)
    others: dict[str, Outcome] = {
        "z test, every look": fixed(looks, alpha=ALPHA, tolerance=tolerance, peeking=True),
        "z test, one look": fixed(looks, alpha=ALPHA, tolerance=tolerance, peeking=False),
        "thresholds, limit 8%": thresholds(looks, limit=0.08),
    }
    median = "never" if ours.answers is None else f"median {ours.answers:,.0f} answers an arm"
    for against, other in others.items():
        yield Row(
            work=name, ours=figure(ours), limit=figure(other), ratio=figure(ours), target=target,
            unit="share of runs", against=against, note=f"{runs:,} runs; aborts: {median}",
        )  # fmt: skip
