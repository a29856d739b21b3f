"""What a benchmark returns: rows that set our figure beside the limit's."""

from __future__ import annotations

import json
import operator
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

_COMPARE: Final = {"<=": operator.le, "≤": operator.le, ">=": operator.ge, "≥": operator.ge}

NOT_INSTALLED: Final = "not installed: make bench-peers, make bench-serve"
"""A row's error where a peer is left out, which is no failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison, measured side by side in one run.

    Parameters
    ----------
    work
        What was done, with its size: ``"validate 10M x 10, 15 rules"``.
    ours, limit
        The two figures in `unit`: ours, and the plainest code's, or a peer's, for the same work.
        None where it could not be measured; `error` then says why.
    ratio
        The figure that `target` is about; say in `note` which way round where it is not plain.
    target
        ``"<= 1.3"`` or ``">= 10"``; empty where the row only informs.
    unit
        Of `ours` and `limit`: ``"s"``, ``"us CPU/request"``, ``"requests/s"``.
    note
        What the limit is, how many rounds, what else was measured.
    against
        Whose figure `limit` is, where there are several.
    cpu_ratio
        As `ratio`, of CPU seconds.
    peak_mb
        The most memory that ours and the other held, libraries included.
    error
        Why there is no figure: a peer that is not installed, or failed.
    """

    work: str
    ours: float | None
    limit: float | None
    ratio: float | None
    target: str
    unit: str
    note: str = ""
    against: str = ""
    cpu_ratio: float | None = None
    peak_mb: tuple[float, float] | None = None
    error: str = ""

    @property
    def met(self) -> bool | None:
        """Whether `ratio` reaches `target`; None without a target, or without a figure."""
        if not self.target or self.ratio is None:
            return None
        sign, _, value = self.target.replace("≤", "≤ ").replace("≥", "≥ ").partition(" ")
        return bool(_COMPARE[sign](self.ratio, float(value)))


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
        ).stdout.strip(),
    }


def write(
    results: Mapping[str, Sequence[Row]], facts: Mapping[str, Any], folder: Path, at: datetime
) -> Path:
    """Write every row, with the machine's facts, to ``<folder>/<date>T<time>.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{at:%Y-%m-%dT%H%M%S}.json"
    rows = {name: [asdict(r) | {"met": r.met} for r in found] for name, found in results.items()}
    path.write_text(json.dumps({"at": at.isoformat(), **facts, "results": rows}, indent=2) + "\n")
    return path


def tables(name: str, rows: Sequence[Row]) -> Iterator[Table]:
    """Yield a benchmark's rows as tables: one for each piece of work that has several, or one."""
    for work, found in groupby(rows, key=lambda row: row.work if row.against else ""):
        together = list(found)
        drawn = Table(title=f"{name}: {work}" if work else name, title_justify="left", box=SIMPLE)
        drawn.add_column("against" if work else "work", overflow="fold")
        for heading in ("ours", "theirs" if work else "limit", "unit", "ratio", "target"):
            drawn.add_column(heading, justify="right", no_wrap=True)
        if work:
            drawn.add_column("CPU", justify="right", no_wrap=True)
            drawn.add_column("MB", justify="right")
        drawn.add_column("note", overflow="fold")
        for row in together:
            drawn.add_row(*_cells(row))
        yield drawn


def _cells(row: Row) -> Iterator[str]:
    colour = {None: "", True: "[green]", False: "[red]"}
    yield row.against or row.work
    yield from (_figure(row.ours), _figure(row.limit), row.unit)
    yield from (f"{colour[row.met]}{_ratio(row.ratio)}", row.target)
    if row.against:
        yield _ratio(row.cpu_ratio)
        yield " / ".join(f"{each:,.0f}" for each in row.peak_mb or ())
    yield f"[yellow]{escape(row.error)}" if row.error else row.note


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
