"""How far a search is: told after every trial, in a small file, to whoever waits for it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from onward.core.files import write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """So many trials are done; `best` is the best score yet, None while none succeeded."""

    done: int = 0
    best: float | None = None


def tell(file: Path, progress: Progress) -> None:
    """Write how far it is; who reads at that moment sees the one or the other, whole."""
    write_whole(file, json.dumps(asdict(progress)).encode())


def look(file: Path) -> Progress:
    """Return how far it is, as far as was told."""
    try:
        return Progress(**json.loads(file.read_text()))
    except FileNotFoundError:
        return Progress()
