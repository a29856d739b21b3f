"""Several stores as one: the first that has a secret gives it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from onward.core.errors import DeclarationError
from onward.core.ports.secrets import Secret, SecretEntry, Secrets
from onward.infra.secrets.environment import EnvironmentSecrets
from onward.infra.secrets.folder import FolderSecrets
from onward.infra.secrets.keyfile import KeyFile

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*")


class ChainedSecrets:
    """Stores in the order in which they are asked; the last one is written to."""

    def __init__(self, stores: Sequence[Secrets]) -> None:
        self._stores = tuple(stores)

    def find(self, name: str) -> Secret | None:
        """Return the secret of this name from the first store that has it, or None.

        Raises
        ------
        DeclarationError
            The name cannot be one: it could lead out of a folder.
        CorruptError
            A store is there and cannot be read.
        """
        if not _NAME.fullmatch(name):
            raise DeclarationError(
                f"{name!r} cannot name a secret",
                expected="letters, digits, '.', '_' and '-', beginning with a letter or a digit",
            )
        for store in self._stores:
            found = store.find(name)
            if found is not None:
                return found
        return None

    def keep(self, name: str, secret: Secret, *, first: bool = False) -> Secret:
        """Store where the secret is now, so that what is stored is what `find` gives."""
        for store in self._stores[:-1]:
            found = store.find(name)
            if found is not None:
                return found if first else store.keep(name, secret)
        return self._stores[-1].keep(name, secret, first=first)

    def entries(self) -> Sequence[SecretEntry]:
        found: dict[str, SecretEntry] = {}
        for store in self._stores:
            for entry in store.entries():
                found.setdefault(entry.name, entry)
        return [found[name] for name in sorted(found)]


def open_secrets(keyfile: str, folder: str) -> ChainedSecrets:
    """Open the environment, the mounted `folder` and the project's `keyfile`, in this order."""
    return ChainedSecrets(
        (EnvironmentSecrets(os.environ), FolderSecrets(Path(folder)), KeyFile(Path(keyfile)))
    )
