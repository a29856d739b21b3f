"""Who may call the gateway, as the settings and the pipeline file say it."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import replace

import onward as ow
from onward.app.gateway.callers import caller_config, shown
from onward.app.settings.gateway import CallerSettings
from onward.app.settings.sections import Settings


def settings(folder, **chosen) -> Settings:
    return replace(Settings(folder=folder), callers=CallerSettings(**chosen))


def test_nobody_is_asked_by_default(tmp_path):
    assert caller_config(settings(tmp_path), None) is None
    assert shown(tmp_path / ".onward") == {}


def test_known_callers_have_the_roles_of_the_pipeline_file(tmp_path):
    access = ow.Access(
        roles={"shop": ow.may(predict="returns", observe="metrics")},
        members={"shop": ["ann", "bob"]},
    )
    chosen = settings(tmp_path, known=True, jwks="keys.json", open="health, metrics", rate=5.0)
    found = caller_config(chosen, access)
    assert found is not None
    assert found.knower is not None
    assert found.roles == {"shop": {"predict": ("returns",), "observe": ("metrics",)}}
    assert found.members == {"shop": ("ann", "bob")}
    assert (found.open, found.per_s) == (("health", "metrics"), 5.0)
    assert found.knower.arguments["jwks"] == str(tmp_path / "keys.json")


def test_who_started_the_gateway_has_a_token_that_only_they_can_read(tmp_path):
    chosen = settings(tmp_path, known=True)
    found = caller_config(chosen, None)
    assert found is not None
    assert found.roles is None
    assert found.knower is not None
    token = shown(chosen.state)["authorization"].removeprefix("Bearer ")
    assert hashlib.sha256(token.encode()).hexdigest() == found.knower.arguments["controller"]
    assert stat.S_IMODE((chosen.state / "gateway" / "token").stat().st_mode) == 0o600
    assert token not in repr(found)


def test_a_rate_alone_asks_nobody_who_they_are(tmp_path):
    found = caller_config(settings(tmp_path, rate=2.0, burst=9), None)
    assert found is not None
    assert (found.knower, found.per_s, found.burst) == (None, 2.0, 9)
