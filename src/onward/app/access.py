"""Who asks, and whether they may: what the command line and the SDK do is asked for here."""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from onward.app.secrets import open_project_secrets
from onward.core.errors import DeniedError, NotFoundError, unknown_name
from onward.core.ports import Secret, Secrets
from onward.core.ports.callers import TOKENS
from onward.core.records import ImageRef
from onward.core.records.access import Action, Approval, Caller
from onward.flow.happened import happened
from onward.flow.release.approval import (
    approvals,
    approver,
    ask,
    asked_for,
    asked_for_once,
    use_up,
)
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


def require(
    project: Project,
    action: Action,
    target: str,
    *,
    role: str = "",
    images: Sequence[ImageRef] = (),
    of: str = "",
    why: str = "",
    waits: bool = True,
) -> Caller:
    """Return who asks, if they may do `action` on `target`; a denial is an event.

    Parameters
    ----------
    images
        The versions that an approval has to be of, where it is about versions.
    of
        Just what it is about, where an approval is of one act: `used_up` when that is done.
    why
        What the caller says to whoever is to approve it.
    waits
        Whether it may have to wait for an approval.

    Raises
    ------
    DeniedError
        They may not, or it waits for a second person's approval.
    """
    asking = caller(open_project_secrets(project.settings))
    if project.definition.access is None:
        return asking
    wanted = _wanted(project, asking.name, action, target, images, of)
    answer = decide(
        project.definition.access,
        asking,
        action,
        target,
        role=role,
        approved=not waits or approver(project.ledger, wanted.request) is not None,
        about=wanted.about,
    )
    if answer.verdict == "allow":
        return asking
    if answer.verdict == "wait":
        ask(project.site, replace(wanted, reason=why or answer.reason), asking.known_by)
        raise DeniedError(
            answer.reason,
            next_step=f"another person approves it: `onward approve {wanted.request}`",
        )
    happened(
        project.site,
        "access.denied",
        wanted.request,
        key=f"{wanted.request}@{project.clock.now().isoformat()}",
        by=asking.name,
        known_by=asking.known_by,
        action=action,
        target=target,
        reason=answer.reason,
    )
    raise DeniedError(
        answer.reason,
        next_step="ask somebody with that role, or have your roles in the pipeline file changed",
    )


def used_up(project: Project, by: Caller, action: Action, target: str, of: str) -> None:
    """Tell that `by` has done what they may have needed an approval for: it was of this one act."""
    if project.definition.access is not None:
        use_up(project.site, asked_for_once(project.ledger, by.name, action, target, of))


def _wanted(
    project: Project, by: str, action: Action, target: str, images: Sequence[ImageRef], of: str
) -> Approval:
    if of:
        return asked_for_once(project.ledger, by, action, target, of)
    return asked_for(by, action, target, images)


def approved_by(
    project: Project, by: str, action: Action, target: str, images: Sequence[ImageRef]
) -> str | None:
    """Return who approved what `by` asked for; None where nobody had to."""
    return approver(project.ledger, asked_for(by, action, target, images).request)


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


def approve(project: Project, request: str, reason: str) -> Approval:
    """Approve what somebody else asked for, and return that.

    Raises
    ------
    NotFoundError
        Nobody asked for it, or what it is of is no longer in question.
    DeniedError
        The caller asked for it, or may not approve it.
    """
    asked = {one.request: one for one in approvals(project.ledger)}
    if request not in asked:
        what, expected = unknown_name("request for approval", request, asked)
        raise NotFoundError(what, expected=expected, next_step="`onward approve` lists what waits")
    wanted = asked[request]
    by = require(project, "approve", f"{wanted.action}:{wanted.target}")
    if by.name == wanted.by:
        raise DeniedError(
            f"{by.name} asked for it, and cannot approve it",
            next_step="let somebody else approve it",
        )
    if wanted.state == "void":
        raise NotFoundError(
            f"{wanted.about} neither serves nor is released any more: there is nothing to approve",
            next_step="an approval is of one version; `onward approve` lists what waits",
        )
    if wanted.state == "used":
        raise NotFoundError(
            f"{wanted.by} has done what {wanted.approver} approved: there is nothing to approve",
            next_step="who needs to do it again asks again",
        )
    happened(project.site, "approval.given", request, key=request, by=by.name, reason=reason)
    return next(one for one in approvals(project.ledger) if one.request == request)


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
