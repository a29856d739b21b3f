"""Who may call the gateway, by the project's settings and its declared roles."""

from __future__ import annotations

import hashlib
import secrets as randomness
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.app.secrets import places
from onward.app.settings import Settings
from onward.core.ports.callers import CALLERS_ENTRY
from onward.flow.site import Folders

if TYPE_CHECKING:
    from onward.stages.serve.gateway.settings import CallerConfig, Factory
    from onward.watch.access.config import Access

OF_THE_STARTER: Final = "token"
"""The file in the gateway's state with the token of whoever started it."""


def caller_config(settings: Settings, access: Access | None) -> CallerConfig | None:
    """Return who may call; None where everybody may, as often as they like."""
    from onward.stages.serve.gateway.settings import CallerConfig

    chosen = settings.callers
    if not (chosen.known or chosen.rate):
        return None
    roles: dict[str, dict[str, tuple[str, ...]]] | None = None
    if access is not None:
        roles = {
            name: {str(action): patterns for action, patterns in grants.by_action.items()}
            for name, grants in access.roles.items()
        }
    return CallerConfig(
        knower=_knower(settings) if chosen.known else None,
        roles=roles,
        members={} if access is None else dict(access.members),
        open=tuple(chosen.open.replace(",", " ").split()),
        per_s=chosen.rate,
        burst=chosen.burst,
    )


def _knower(settings: Settings) -> Factory:
    from onward.stages.serve.gateway.settings import Factory

    chosen = settings.callers
    jwks = chosen.jwks
    if jwks and "://" not in jwks:
        jwks = str(settings.folder / jwks)
    return Factory(
        entry=CALLERS_ENTRY,
        arguments={
            **places(settings),
            "controller": hashlib.sha256(_new_token(settings.state).encode()).hexdigest(),
            "jwt_secret": chosen.jwt_secret,
            "jwks": jwks,
            "audience": chosen.audience,
            "issuer": chosen.issuer,
            "leeway_s": chosen.leeway.total_seconds(),
            "roles": chosen.roles,
        },
    )


def _new_token(state: Path) -> str:
    """Make the token of this life of the gateway: who can read the project's state has it."""
    token = randomness.token_urlsafe(32)
    file = Folders(state).gateway / OF_THE_STARTER
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.touch(0o600)
    file.write_text(token)
    return token


def shown(state: Path) -> Mapping[str, str]:
    """Return the headers by which the gateway knows who started it."""
    file = Folders(state).gateway / OF_THE_STARTER
    return {"authorization": f"Bearer {file.read_text()}"} if file.exists() else {}
