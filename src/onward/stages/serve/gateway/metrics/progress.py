"""How far a shadow is: kept by its process, and told to all who ask the gateway's workers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from onward.core.files import write_whole
from onward.stages.serve.log.reader import Cursor


class Progress(msgspec.Struct, kw_only=True):
    """A shadow's place in the prediction log, and what it did up to there.

    `answered` counts rows that it answered, `passed_over` those that it could not: they came as
    features, and its own are others. `abreast_ns` is when it had last answered everything that was
    in the log, in nanoseconds since the epoch; 0 if it never had.
    """

    cursor: Cursor = msgspec.field(default_factory=Cursor)
    answered: int = 0
    passed_over: int = 0
    abreast_ns: int = 0

    def behind_s(self, now_ns: int) -> float:
        """Return how long ago it had last answered everything, in seconds."""
        return max(0, now_ns - self.abreast_ns) / 1e9

    @staticmethod
    def place(state: Path, model: str) -> Path:
        """Return where the progress of a model's shadow lies in the gateway's state."""
        return state / f"shadow-{model}.progress"

    @classmethod
    def read(cls, place: Path) -> Progress | None:
        """Return what was last written; None if nothing was."""
        try:
            return msgspec.json.decode(place.read_bytes(), type=cls)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def write(self, place: Path) -> None:
        """Take the place of what was written before."""
        write_whole(place, msgspec.json.encode(self))
