"""Knowing callers by what they show."""

from __future__ import annotations

from typing import Final, Protocol

from onward.core.records.access import Identity

CALLERS_ENTRY: Final = "onward.infra.callers.chain:open_callers"
"""How a process that is no `app` opens what knows callers."""

TOKENS: Final = "access-tokens"
"""The secret that knows tokens: a line each, the user and the SHA-256 of the token."""


class Callers(Protocol):
    """Knows whose token it is. Asked on a server's loop: it waits for nobody."""

    def identify(self, token: str) -> Identity:
        """Return who shows this token.

        Raises
        ------
        DeniedError
            It is nobody's, or no longer good; the reason is one that a stranger may read.
        """
        ...

    def close(self) -> None: ...
