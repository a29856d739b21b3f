"""What is known of a release's predictions, by arm, step and unit."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from onward.stages.serve.release.config import SMALLEST
from onward.stages.serve.release.sequences import Sample, sample
from onward.stages.serve.routes import CHAMPION

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LATENCY_CAP: Final = 10.0
"""Latencies count up to this many times the champion's median in the same step: a pause of the
machine is no property of a model, and means need finite tails.
"""


class Observed:
    """A release's predictions as arrays of shape (n,).

    Parameters
    ----------
    table
        A row per prediction: ``arm``, ``step``, ``unit``, ``at``, ``status``, ``latency_us``,
        ``output``, ``loss`` (null until the label is known) and ``reward`` (null without one).
    shares
        The steps that are compared, by number: each arm's percent.
    """

    def __init__(self, table: pa.Table, shares: Mapping[int, Mapping[str, float]]) -> None:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        arms = sorted({arm for step in shares.values() for arm in step})
        chosen = pc.and_(
            pc.is_in(table["arm"], value_set=pa.array(arms, pa.string())),
            pc.is_in(table["step"], value_set=pa.array(list(shares), table["step"].type)),
        )
        table = table.filter(chosen)
        self.shares: Mapping[int, Mapping[str, float]] = shares
        self._arms = arms
        self.arm: np.ndarray = pc.index_in(table["arm"], pa.array(arms, pa.string())).to_numpy()
        self.step: np.ndarray = table["step"].to_numpy()
        self.unit: np.ndarray = _codes(table["unit"])
        self.at: np.ndarray = table["at"].cast(pa.int64()).to_numpy()
        self.failed: np.ndarray = pc.not_equal(table["status"], 200).to_numpy() * 1.0
        self.latency: np.ndarray = table["latency_us"].to_numpy().astype(np.float64)
        self.output, self.loss, self.reward = (
            table[name].cast("double").to_numpy() for name in ("output", "loss", "reward")
        )

    def of(self, arm: str) -> np.ndarray:
        """Return which rows are an arm's."""
        code = self._arms.index(arm) if arm in self._arms else -1
        found: np.ndarray = self.arm == code
        return found

    def strata(self, values: np.ndarray, arm: str) -> list[tuple[Sample, Sample]]:
        """Return (the arm, the champion) for each step that has enough units of both."""
        import numpy as np

        present = ~np.isnan(values)
        found = []
        for step in self.shares:
            here = present & (self.step == step)
            pair = [here & self.of(each) for each in (arm, CHAMPION)]
            if min(int(rows.sum()) for rows in pair) < SMALLEST:
                continue
            mine, theirs = (sample(values[rows], self.unit[rows]) for rows in pair)
            if min(mine.n, theirs.n) >= SMALLEST:
                found.append((mine, theirs))
        return found

    @cached_property
    def capped(self) -> np.ndarray:
        """The latencies, capped step by step at a multiple of the champion's median."""
        import numpy as np

        found = self.latency.copy()
        for step in self.shares:
            here = self.step == step
            champion = found[here & self.of(CHAMPION)]
            if len(champion):
                found[here] = np.minimum(found[here], LATENCY_CAP * np.median(champion))
        return found

    def answered(self, arm: str, step: int) -> int:
        """Return how many predictions an arm has made in a step."""
        return int((self.of(arm) & (self.step == step)).sum())

    def outputs(self, arm: str, step: int) -> np.ndarray:
        """Return the first output that each of the arm's units got in a step."""
        import numpy as np

        rows = np.flatnonzero(self.of(arm) & (self.step == step) & ~np.isnan(self.output))
        _, first = np.unique(self.unit[rows], return_index=True)
        found: np.ndarray = self.output[rows[first]]
        return found

    def merged(self) -> Observed:
        """Return the same with all steps taken as one."""
        found = copy.copy(self)
        last = max(self.shares)
        found.shares = {last: self.shares[last]}
        found.step = self.step * 0 + last
        found.__dict__.pop("capped", None)
        return found

    def pairs(self, arm: str) -> tuple[np.ndarray, np.ndarray]:
        """Return where the arm's rows lie, and the champion's of the same unit and moment."""
        import pyarrow as pa

        rows = [pa.table(self._placed(each)) for each in (arm, CHAMPION)]
        both = rows[0].join(rows[1], ["unit", "at", "nth"], join_type="inner", right_suffix="_of")
        mine, theirs = (both[name].to_numpy() for name in ("row", "row_of"))
        return mine, theirs

    def _placed(self, arm: str) -> dict[str, np.ndarray]:
        """Return an arm's rows, and the how-manyeth of its unit and moment each is."""
        import numpy as np

        rows = np.flatnonzero(self.of(arm))
        rows = rows[np.lexsort((rows, self.at[rows], self.unit[rows]))]
        unit, at = self.unit[rows], self.at[rows]
        fresh = np.ones(len(rows), dtype=bool)
        fresh[1:] = (unit[1:] != unit[:-1]) | (at[1:] != at[:-1])
        begin = np.maximum.accumulate(np.where(fresh, np.arange(len(rows)), 0))
        return {"unit": unit, "at": at, "nth": np.arange(len(rows)) - begin, "row": rows}

    def first_seen(self) -> Sequence[tuple[Mapping[str, int], Mapping[str, float]]]:
        """Return, for each step, how many units it was the first to see, by arm, and the shares
        declared.
        """
        import numpy as np

        order = np.lexsort((self.step, self.unit))
        _, first = np.unique(self.unit[order], return_index=True)
        rows = order[first]
        seen = Counter(zip(self.step[rows].tolist(), self.arm[rows].tolist(), strict=True))
        found = []
        for step, percent in self.shares.items():
            counts = {arm: seen[step, code] for code, arm in enumerate(self._arms)}
            if any(counts.values()):
                found.append((counts, {arm: share / 100 for arm, share in percent.items()}))
        return found


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    found: np.ndarray = column.combine_chunks().dictionary_encode().indices.to_numpy()
    return found
