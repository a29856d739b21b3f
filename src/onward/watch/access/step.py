"""Deciding: may this caller do this, by the declared roles?"""

from __future__ import annotations

from fnmatch import fnmatchcase

from onward.core.records.access import Action, Answer, Caller
from onward.watch.access.config import Access, Grants


def decide(
    access: Access | None,
    caller: Caller,
    action: Action,
    target: str,
    *,
    role: str = "",
    approved: bool = False,
    about: str = "",
) -> Answer:
    """Answer whether `caller` may do `action` on `target`.

    Parameters
    ----------
    role
        A role that may do it whatever its grants say: that of a column's mask.
    approved
        Whether somebody else, who may, has approved it.
    about
        The target in more words, where an approval is of a part of it.
    """
    if access is None:
        return Answer(verdict="allow", reason="no roles are declared")
    if access.verified and caller.known_by != "token":
        return Answer(verdict="deny", reason=f"{caller.name} has shown no token")
    own = roles_of(access, caller)
    allowed = [r for r in own if r == role or _grants(access.roles[r], action, target)]
    if not allowed:
        others = [r for r, g in access.roles.items() if r == role or _grants(g, action, target)]
        who = f"{caller.name}, who has {_listed(own)}, may not {action} {target}"
        return Answer(verdict="deny", reason=f"{who}; {_listed(others)} may")
    if action in access.approvals and not approved:
        return Answer(
            verdict="wait",
            reason=f"to {action} {about or target} needs the approval of a second person",
        )
    return Answer(verdict="allow", reason=f"role {allowed[0]}")


def roles_of(access: Access, caller: Caller) -> list[str]:
    """Return a caller's roles, in the order in which they are declared."""
    return [
        role
        for role in access.roles
        if any(fnmatchcase(caller.name, pattern) for pattern in access.members.get(role, ()))
    ]


def _grants(grants: Grants, action: Action, target: str) -> bool:
    return any(fnmatchcase(target, pattern) for pattern in grants.by_action.get(action, ()))


def _listed(roles: list[str]) -> str:
    if not roles:
        return "no role"
    return f"the role{'s' if len(roles) > 1 else ''} {', '.join(roles)}"
