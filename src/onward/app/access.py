"""Who asks, and whether they may: what the command line and the SDK do is asked for here."""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onward.app.secrets import open_project_secrets
from onward.core.errors import DeniedError, NotFoundError, unknown_name
from onward.core.ports import Secret, Secrets
from onward.core.ports.callers import TOKENS
from onward.core.records.access import Action, Caller
from onward.flow.happened import happened
from onward.watch.access.step import decide, roles_of

if TYPE_CHECKING:
    from onward.app.project import Project


TOKEN: Final = "ONWARD_TOKEN"  # noqa: S105 (the name of the variable)
USER: Final = "ONWARD_USER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Who the caller is, and what each of their roles may do; None where no roles are declared."""

    caller: Caller
    roles: Mapping[str, Mapping[Action, tuple[str, ...]]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleEntry:
    """A declared role: who has it, by name or pattern, and what it may do."""

    name: str
    members: tuple[str, ...]
    may: Mapping[Action, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The declared roles, what waits for a second person, and whether only tokens are believed."""

    roles: tuple[RoleEntry, ...]
    approvals: tuple[Action, ...]
    verified: bool


def caller(secrets: Secrets, environment: Mapping[str, str] | None = None) -> Caller:
    """Return who asks: whose token ``ONWARD_TOKEN`` is, else ``ONWARD_USER``, else the system's.

    Raises
    ------
    DeniedError
        The token is nobody's.
    """
    variables = os.environ if environment is None else environment
    if token := variables.get(TOKEN):
        known = {digest: name for name, digest in _tokens(secrets)}
        found = known.get(_digest(token))
        if found is None:
            raise DeniedError(
                f"the token in {TOKEN} is nobody's",
                next_step="`onward access token NAME` makes one, in the project that knows it",
            )
        return Caller(name=found, known_by="token")
    if name := variables.get(USER):
        return Caller(name=name, known_by="name")
    return Caller(name=pwd.getpwuid(os.getuid()).pw_name, known_by="system")


def make_token(project: Project, name: str) -> str:
    """Make a token for a user, keep its digest, and return it: it cannot be shown again."""
    store = open_project_secrets(project.settings)
    token = randomness.token_urlsafe(32)
    others = [f"{n} {d}" for n, d in _tokens(store) if n != name]
    store.keep(TOKENS, Secret("\n".join([*others, f"{name} {_digest(token)}"])))
    return token


def require(project: Project, action: Action, target: str, *, role: str = "") -> Caller:
    """Return who asks, if they may do `action` on `target`; a denial is an event.

    Raises
    ------
    DeniedError
        They may not, or it waits for a second person's approval.
    """
    asking = caller(open_project_secrets(project.settings))
    if project.definition.access is None:
        return asking
    request = _request(asking, action, target)
    given = project.ledger.events(kind="approval.given", subject=request, limit=1)
    answer = decide(
        project.definition.access, asking, action, target, role=role, approved=bool(given)
    )
    if answer.verdict == "allow":
        return asking
    denied = answer.verdict == "deny"
    at = project.clock.now().isoformat()
    happened(
        project.site,
        "access.denied" if denied else "approval.requested",
        request,
        key=f"{request}@{at}" if denied else request,
        by=asking.name,
        known_by=asking.known_by,
        action=action,
        target=target,
        reason=answer.reason,
    )
    raise DeniedError(
        answer.reason,
        next_step="ask somebody with that role, or have your roles in the pipeline file changed"
        if denied
        else f"another person approves it: `onward approve {request}`",
    )


def require_run(project: Project) -> Caller:
    """Return who asks, if they may run the model and read what it is built on.

    Raises
    ------
    DeniedError
        They may not: features and datasets are read by whoever builds a model on them.
    """
    definition = project.definition
    for name in definition.pipeline.model.label.inputs:
        require(project, "read", definition.table(name))
    for view in definition.views:
        require(project, "read", f"features.{view.name}")
    return require(project, "run", definition.model)


def approve(project: Project, request: str, reason: str) -> str:
    """Approve what somebody else asked for, and return what that was.

    Raises
    ------
    NotFoundError
        Nobody asked for it.
    DeniedError
        The caller asked for it, or may not approve it.
    """
    asked = project.ledger.events(kind="approval.requested")
    waiting = {e.event.subject: e.event.facts for e in asked}
    if request not in waiting:
        what, expected = unknown_name("request for approval", request, waiting)
        raise NotFoundError(what, expected=expected)
    facts = waiting[request]
    approver = require(project, "approve", f"{facts['action']}:{facts['target']}")
    if approver.name == facts["by"]:
        raise DeniedError(
            f"{approver.name} asked for it, and cannot approve it",
            next_step="let somebody else approve it",
        )
    happened(project.site, "approval.given", request, key=request, by=approver.name, reason=reason)
    return f"{facts['by']} may {facts['action']} {facts['target']}"


def _request(asking: Caller, action: Action, target: str) -> str:
    return hashlib.sha256(f"{asking.name}\0{action}\0{target}".encode()).hexdigest()[:12]


def _tokens(secrets: Secrets) -> list[tuple[str, str]]:
    found = secrets.find(TOKENS)
    lines = (line.rpartition(" ") for line in found.reveal().splitlines()) if found else ()
    return [(name, digest) for name, _, digest in lines]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def standing(project: Project) -> Standing:
    """Return who asks, and what they may do."""
    asking, access = caller(open_project_secrets(project.settings)), project.definition.access
    own = None
    if access is not None:
        own = {role: access.roles[role].by_action for role in roles_of(access, asking)}
    return Standing(caller=asking, roles=own)


def roles(project: Project) -> Roles | None:
    """Return who has which role, None where no roles are declared."""
    access = project.definition.access
    if access is None:
        return None
    entries = (
        RoleEntry(name=name, members=access.members.get(name, ()), may=grants.by_action)
        for name, grants in access.roles.items()
    )
    return Roles(roles=tuple(entries), approvals=access.approvals, verified=access.verified)
