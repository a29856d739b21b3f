"""Records of access: who asks, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final, Literal

Action = Literal[
    "read", "run", "promote", "reveal", "erase", "approve", "predict", "feedback", "observe"
]

ACTIONS: Final[tuple[Action, ...]] = (
    "read", "run", "promote", "reveal", "erase", "approve", "predict", "feedback", "observe",
)  # fmt: skip
"""What a role may be allowed to do; the last three are asked for at the gateway."""

WAITING: Final[tuple[Action, ...]] = ("run", "promote", "reveal", "erase")
"""What may be made to wait for somebody else's approval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and how that is known: by ``token``, by ``name`` (as given), by ``system``."""

    name: str
    known_by: Literal["token", "name", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who calls a server, as a token told it.

    `roles` are those that the token itself names; `expires` is in seconds since the epoch; one that
    is `trusted` may do everything: it is the process that started the server.
    """

    name: str
    roles: tuple[str, ...] = ()
    expires: float = inf
    trusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a caller is told of an action on a target.

    ``wait``: it is allowed once somebody else, who may approve it, has approved it.
    """

    verdict: Literal["allow", "deny", "wait"]
    reason: str
