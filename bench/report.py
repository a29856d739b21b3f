"""What a benchmark returns: rows that set our figure beside the limit's."""

from __future__ import annotations

import json
import operator
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

_COMPARE: Final = {"<=": operator.le, "≤": operator.le, ">=": operator.ge, "≥": operator.ge}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison, measured side by side in one run.

    Parameters
    ----------
    work
        What was done, with its size: ``"validate 10M x 10, 15 rules"``.
    ours, limit
        The two figures in `unit`: ours, and the plainest code's, or a peer's, for the same work.
    ratio
        The figure that `target` is about; say in `note` which way round where it is not plain.
    target
        ``"<= 1.3"`` or ``">= 10"``; empty where the row only informs.
    unit
        Of `ours` and `limit`: ``"s"``, ``"us CPU/request"``, ``"requests/s"``.
    note
        What the limit is, how many rounds, what else was measured.
    """

    work: str
    ours: float
    limit: float
    ratio: float
    target: str
    unit: str
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether `ratio` reaches `target`; None without a target."""
        if not self.target:
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
