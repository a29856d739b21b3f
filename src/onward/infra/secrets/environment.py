"""Secrets in environment variables: ``ONWARD_SECRET_<NAME>``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from onward.core.errors import OnwardError
from onward.core.ports.secrets import Secret, SecretEntry

PREFIX: Final = "ONWARD_SECRET_"


class EnvironmentSecrets:
    """The secrets of an environment; ``shop-db`` is ``ONWARD_SECRET_SHOP_DB`` there."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def find(self, name: str) -> Secret | None:
        text = self._environment.get(variable(name))
        return None if text is None else Secret(text)

    def keep(self, name: str, secret: Secret, *, first: bool = False) -> Secret:  # noqa: ARG002 (the port's)
        raise OnwardError(
            f"secret {name!r} comes from the environment, which Onward does not change",
            next_step=f"set {variable(name)} where the process is started",
        )

    def entries(self) -> Sequence[SecretEntry]:
        names = sorted(n for n in self._environment if n.startswith(PREFIX))
        return [
            SecretEntry(n.removeprefix(PREFIX).lower().replace("_", "-"), "environment")
            for n in names
        ]


def variable(name: str) -> str:
    """Return the variable that holds the secret `name`."""
    return PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())
