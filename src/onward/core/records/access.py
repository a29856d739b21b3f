"""Records of access: who asks, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedImage:
    """A version, as it was packaged: what an approval is of. `digest` is the image's."""

    version: int
    digest: str

    def __str__(self) -> str:
        return f"version {self.version} ({self.digest[:19]}…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What somebody asked to have approved, and how it stands.

    Parameters
    ----------
    request
        Its number, made of all that it is about.
    images
        The versions that it is of, where it is about versions: it allows no others.
    of
        Just what it is of, where it is about persons, in words that name nobody: digests of the
        values to reveal, or of the subject to erase.
    state
        ``waits``; ``given``; ``used``: what it allowed was done; or ``void``: what it is of neither
        serves nor is released any more.
    """

    request: str
    by: str
    action: Action
    target: str
    images: tuple[ApprovedImage, ...] = ()
    of: str = ""
    reason: str = ""
    state: Literal["waits", "given", "used", "void"] = "waits"
    asked_at: datetime | None = None
    approver: str | None = None
    given_at: datetime | None = None

    @property
    def about(self) -> str:
        """The target, and just what of it where it is of a part, in words."""
        return ", ".join((self.target, *([self.of] if self.of else []), *map(str, self.images)))
