"""What a contest says, as rows: ours beside the limit, then beside each peer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from bench._contest import Outcome
from bench.report import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How outcomes of one contest are told.

    Parameters
    ----------
    work
        What was done, with its size.
    ours, limit
        Names of contestants; there may be no limit.
    targets
        By contestant: what our seconds over the limit's may be at most (``"<= 1.3"``), or how many
        times a peer's seconds must be of ours (``">= 4"``).
    unit, shown
        The figure told for a run's seconds; seconds as they are, unless given.
    """

    work: str
    ours: str
    limit: str = ""
    targets: Mapping[str, str]
    unit: str = "s"
    shown: Callable[[float], float] = float

    def rows(
        self, outcomes: Mapping[str, Outcome], wrong: Mapping[str, str] | None = None
    ) -> Iterator[Row]:
        """Yield a row for each contestant but ours; `wrong` says whose results differ, and how."""
        ours = outcomes[self.ours]
        for name, other in outcomes.items():
            if name != self.ours:
                row = self._row(ours, other)
                told = (wrong or {}).get(name, "same result" if other.runs else "")
                yield replace(row, note="; ".join(filter(None, (told, row.note))))

    def memory(self, outcomes: Mapping[str, Outcome], target: str, *peers: str) -> Iterator[Row]:
        """Yield how many times our peak memory each of `peers` holds."""
        ours = outcomes[self.ours]
        for other in (outcomes[name] for name in peers):
            if ours.runs and other.runs:
                yield Row(
                    work=f"{self.work}, peak memory", against=other.name, unit="MB",
                    ours=ours.peak_mb, limit=other.peak_mb, ratio=other.peak_mb / ours.peak_mb,
                    target=target, note="times ours",
                )  # fmt: skip

    def _row(self, ours: Outcome, other: Outcome) -> Row:
        row = Row(
            work=self.work, against=other.name, unit=self.unit, ours=None, limit=None, ratio=None,
            target=self.targets.get(other.name, ""), error=ours.error or other.error,
        )  # fmt: skip
        if row.error:
            return row
        over = _inverse if other.name == self.limit else float
        rounds = min(len(ours.runs), len(other.runs))
        way = "ours over it" if other.name == self.limit else "times ours"
        return replace(
            row,
            ours=self.shown(ours.seconds),
            limit=self.shown(other.seconds),
            ratio=over(other.seconds / ours.seconds),
            cpu_ratio=over(other.cpu_s / ours.cpu_s) if ours.cpu_s and other.cpu_s else None,
            peak_mb=(ours.peak_mb, other.peak_mb),
            note=f"{way}; {rounds} rounds",
        )


def _inverse(ratio: float) -> float:
    return 1 / ratio
