"""Masks: what becomes of a column's values before anything of them is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

MaskKind = Literal["drop", "hash", "pseudonym", "generalise", "reveal"]

_MASKED: Final = re.compile(r"[phse]-[0-9a-f]{8}-[\w=-]{22,}")

UNITS: Final = ("hour", "day", "month", "quarter", "year")
"""The units to which times can be generalised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """How one column is masked.

    Parameters
    ----------
    kind
        ``drop`` keeps nothing; ``hash`` and ``pseudonym`` keep a keyed digest, ``reveal`` an
        encrypted value, ``generalise`` a coarser one.
    domain
        What the key is derived for. Equal values of one domain have equal digests; those of
        two domains cannot be told to be equal.
    stable
        Whether equal values are masked alike. False only for a value that is encrypted afresh
        each time.
    role
        Who may have the values revealed.
    digits, step, bins, to
        How values are generalised: one of the first characters of a text, multiples of a step,
        the bin between two edges, the beginning of a unit of time.
    """

    kind: MaskKind
    domain: str = ""
    stable: bool = True
    role: str = ""
    digits: int | None = None
    step: float | None = None
    bins: tuple[float, ...] = ()
    to: str = ""

    @property
    def keyed(self) -> bool:
        """Whether masked values are texts that a key made."""
        return self.kind in ("hash", "pseudonym", "reveal")

    def __str__(self) -> str:
        if self.kind == "generalise":
            how = (
                f"digits={self.digits}" if self.digits is not None
                else f"step={self.step:g}" if self.step is not None
                else f"bins={list(self.bins)}" if self.bins
                else f"to={self.to}"
            )  # fmt: skip
            return f"generalise({how})"
        return self.kind if self.kind == "drop" else f"{self.kind}({self.domain})"


def looks_masked(text: object) -> bool:
    """Tell whether a value has the form of those that keyed masks give, under whatever key."""
    return isinstance(text, str) and _MASKED.fullmatch(text) is not None
