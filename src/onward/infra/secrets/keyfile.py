"""Secrets in one file of the project's state, for its owner's eyes only."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from onward.core.errors import CorruptError
from onward.core.files import write_durably
from onward.core.ports.secrets import Secret, SecretEntry


class KeyFile:
    """A JSON object of names and values, with mode 0600; made when the first secret is kept.

    Who can read the file can read what it protects: it keeps masked data apart from its keys in a
    backup or a copy of the lake, not from the user who runs Onward.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, name: str) -> Secret | None:
        text = self._read().get(name)
        return None if text is None else Secret(text)

    def keep(self, name: str, secret: Secret, *, first: bool = False) -> Secret:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock"):
            stored = self._read()
            if not (first and name in stored):
                self._write({**stored, name: secret.reveal()})
                return secret
            return Secret(stored[name])

    def entries(self) -> Sequence[SecretEntry]:
        return [SecretEntry(name, str(self._path)) for name in sorted(self._read())]

    def _read(self) -> dict[str, str]:
        try:
            mode = self._path.stat().st_mode
            text = self._path.read_text()
        except FileNotFoundError:
            return {}
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise CorruptError(
                f"others may read the key file {self._path} (mode {stat.S_IMODE(mode):o})",
                expected="mode 600",
                next_step=f"chmod 600 {self._path}; if it was read, `onward secrets rotate`",
            )
        try:
            stored = json.loads(text)
        except ValueError:
            stored = None
        if not (isinstance(stored, dict) and all(isinstance(v, str) for v in stored.values())):
            raise CorruptError(
                f"the key file {self._path} is damaged",
                expected="a JSON object of names and texts",
                next_step="restore it from a backup: without it, masked values cannot be matched",
            )
        return stored

    def _write(self, stored: dict[str, str]) -> None:
        # A key that is lost in a power cut takes what it masked with it.
        write_durably(self._path, json.dumps(stored, indent=1, sort_keys=True).encode(), mode=0o600)
