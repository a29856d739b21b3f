"""Records of feedback: what became known about a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What was told of a prediction: its ``label``, a ``reward``, or a figure of another `name`.

    A truth value is 1 or 0. `at` is when it was told.
    """

    name: str
    value: float | str
    at: datetime
