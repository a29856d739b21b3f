"""What a user declares about access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from onward.core.declared import here
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.core.records.access import ACTIONS, WAITING, Action

Patterns: TypeAlias = "str | Sequence[str]"


@dataclass(frozen=True, slots=True)
class Grants:
    """What a role may do: for each action the patterns of its targets."""

    by_action: Mapping[Action, tuple[str, ...]] = field(hash=False)


def may(
    *,
    read: Patterns = (),
    run: Patterns = (),
    promote: Patterns = (),
    reveal: Patterns = (),
    erase: Patterns = (),
    approve: Patterns = (),
    predict: Patterns = (),
    feedback: Patterns = (),
    observe: Patterns = (),
) -> Grants:
    """Say what a role may do, by patterns as file names have them: ``raw.*``, or ``*`` for all.

    Parameters
    ----------
    read
        Datasets (``raw.orders``, ``derived.sold``, ``quarantine.raw_orders``), feature views
        (``features.habits``) and ``training`` sets: to look at their rows, and, for datasets and
        views, to build models on them.
    run
        Models: to train and release them by `onward run`. Tables: to take rows in, or to build
        them, by `onward ingest` and `onward transform`.
    promote
        Models: to roll them back, or forward.
    reveal
        Columns (``payments.iban``), besides those whose mask names the role.
    erase
        Columns by which subjects are known (``customer_id``).
    approve
        What others ask for where approval is needed, as ``action:target``: ``erase:*``.
    predict
        Models: to ask the gateway for predictions, explanations and metadata.
    feedback
        Models: to tell the gateway what became of predictions.
    observe
        The gateway's ``metrics`` and ``routes``.
    """
    all_ = (read, run, promote, reveal, erase, approve, predict, feedback, observe)
    given = dict(zip(ACTIONS, all_, strict=True))
    return Grants(
        {action: (p,) if isinstance(p, str) else tuple(p) for action, p in given.items() if p}
    )


@dataclass(frozen=True, slots=True, init=False)
class Access:
    """Roles, who has them, and what needs a second person's approval.

    Parameters
    ----------
    roles
        What each role may do, from `onward.may`.
    members
        The users of each role, by name or pattern; ``*`` is everybody.
    approvals
        Actions that wait until somebody else, who may approve them, has approved them.
    verified
        Whether only callers with a token are believed; else the operating system's user is, and
        ``ONWARD_USER``.
    """

    roles: Mapping[str, Grants] = field(hash=False)
    members: Mapping[str, tuple[str, ...]] = field(hash=False)
    approvals: tuple[Action, ...]
    verified: bool
    location: Location | None = field(compare=False)

    def __init__(
        self,
        *,
        roles: Mapping[str, Grants],
        members: Mapping[str, str | Sequence[str]],
        approvals: Sequence[Action] = (),
        verified: bool = False,
    ) -> None:
        location = here()
        for role, grants in roles.items():
            if not isinstance(grants, Grants):
                raise DeclarationError(
                    f"role {role!r} may {grants!r}",
                    expected="ow.may(read=..., run=..., promote=..., reveal=..., erase=..., "
                    "approve=..., predict=..., feedback=..., observe=...)",
                    location=location,
                )
        require_roles(members, roles, location)
        for action in approvals:
            if action not in WAITING:
                what, expected = unknown_name("action that can wait", action, WAITING)
                raise DeclarationError(what, expected=expected, location=location)
        named = {r: (m,) if isinstance(m, str) else tuple(m) for r, m in members.items()}
        set_ = object.__setattr__
        set_(self, "roles", dict(roles))
        set_(self, "members", named)
        set_(self, "approvals", tuple(approvals))
        set_(self, "verified", verified)
        set_(self, "location", location)


def require_roles(
    named: Mapping[str, object], roles: Mapping[str, Grants], location: Location | None
) -> None:
    """Refuse names of roles that are not declared.

    Raises
    ------
    DeclarationError
        One is not.
    """
    for name in named:
        if name not in roles:
            what, expected = unknown_name("role", name, roles)
            raise DeclarationError(what, expected=expected, location=location)
