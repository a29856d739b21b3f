"""Who may do what: by roles and patterns, and after a second person's approval."""

from __future__ import annotations

from typing import Any

import pytest

import onward as ow
from onward.core.errors import DeclarationError
from onward.core.records.access import Caller
from onward.watch.access.step import decide, roles_of

ROLES = {
    "analyst": ow.may(read=["raw.*", "features.*"]),
    "fraud": ow.may(read="*", erase="customer"),
    "lead": ow.may(read="*", run="*", promote="*", approve="*"),
}
MEMBERS = {"analyst": "*", "fraud": ["ada"], "lead": ["grace", "team-*"]}
ACCESS = ow.Access(roles=ROLES, members=MEMBERS, approvals=["erase"])


def who(name: str, known_by: Any = "system") -> Caller:
    return Caller(name=name, known_by=known_by)


@pytest.mark.parametrize(
    ("name", "action", "target", "verdict"),
    [
        ("bob", "read", "raw.orders", "allow"),
        ("bob", "read", "features.habits", "allow"),
        ("bob", "read", "quarantine.raw_orders", "deny"),
        ("ada", "read", "quarantine.raw_orders", "allow"),
        ("ada", "run", "order_return", "deny"),
        ("grace", "run", "order_return", "allow"),
        ("team-7", "promote", "order_return", "allow"),
        ("ada", "erase", "customer", "wait"),
        ("ada", "erase", "employee", "deny"),
        ("grace", "erase", "customer", "deny"),
    ],
)
def test_roles_decide(name: str, action: Any, target: str, verdict: str) -> None:
    answer = decide(ACCESS, who(name), action, target)
    assert answer.verdict == verdict
    assert answer.reason


def test_a_denial_says_who_may() -> None:
    reason = decide(ACCESS, who("bob"), "run", "order_return").reason
    assert reason == ("bob, who has the role analyst, may not run order_return; the role lead may")
    nobody = ow.Access(roles={"lead": ow.may(read="*")}, members={})
    assert (
        "who has no role, may not erase x; no role may"
        in decide(nobody, who("bob"), "erase", "x").reason
    )


def test_what_was_approved_is_allowed() -> None:
    assert decide(ACCESS, who("ada"), "erase", "customer", approved=True).verdict == "allow"
    assert decide(ACCESS, who("bob"), "erase", "customer", approved=True).verdict == "deny"


def test_the_role_that_a_mask_names_may_reveal() -> None:
    assert decide(ACCESS, who("ada"), "reveal", "pay.iban", role="fraud").verdict == "allow"
    assert decide(ACCESS, who("bob"), "reveal", "pay.iban", role="fraud").verdict == "deny"


def test_nothing_declared_allows_everything() -> None:
    assert decide(None, who("bob"), "erase", "customer").verdict == "allow"


def test_only_tokens_are_believed_where_that_is_declared() -> None:
    strict = ow.Access(roles=ROLES, members=MEMBERS, verified=True)
    assert decide(strict, who("grace"), "run", "m").verdict == "deny"
    assert decide(strict, who("grace", "name"), "run", "m").verdict == "deny"
    assert decide(strict, who("grace", "token"), "run", "m").verdict == "allow"
    assert roles_of(strict, who("ada", "token")) == ["analyst", "fraud"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"roles": {"analyst": "read"}}, "ow.may"),
        ({"members": {"analist": "*"}}, "did you mean 'analyst'"),
        ({"approvals": ["erasing"]}, "did you mean 'erase'"),
        ({"approvals": ["read"]}, "there is no action that can wait"),
    ],
)
def test_a_declaration_that_cannot_hold_is_refused(changes: Any, why: str) -> None:
    with pytest.raises(DeclarationError, match=why) as refused:
        ow.Access(**({"roles": ROLES, "members": MEMBERS} | changes))
    assert refused.value.location
