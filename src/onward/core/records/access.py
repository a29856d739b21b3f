"""Records of access: who asks, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Action = Literal["read", "run", "promote", "reveal", "erase", "approve"]

ACTIONS: Final[tuple[Action, ...]] = ("read", "run", "promote", "reveal", "erase", "approve")
"""What a role may be allowed to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and how that is known: by ``token``, by ``name`` (as given), by ``system``."""

    name: str
    known_by: Literal["token", "name", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a caller is told of an action on a target.

    ``wait``: it is allowed once somebody else, who may approve it, has approved it.
    """

    verdict: Literal["allow", "deny", "wait"]
    reason: str
