"""Secrets in a folder of files, one a file, as Docker and Kubernetes mount them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onward.core.errors import CorruptError, OnwardError
from onward.core.ports.secrets import Secret, SecretEntry


class FolderSecrets:
    """Each file is a secret by its name; a newline at its end is not part of it.

    A folder that is not there holds none. Kubernetes' own entries, which begin with ``..``, are
    passed over.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Secret | None:
        path = self._folder / name
        try:
            return Secret(path.read_text().removesuffix("\n").removesuffix("\r"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise CorruptError(
                f"secret {name!r} in {self._folder} cannot be read: {reason}",
                expected="a text file that the user who runs Onward may read",
            ) from None

    def keep(self, name: str, secret: Secret, *, first: bool = False) -> Secret:  # noqa: ARG002 (the port's)
        raise OnwardError(
            f"secret {name!r} comes from {self._folder}, which Onward does not change",
            next_step=f"change it where it is mounted from: {self._folder / name}",
        )

    def entries(self) -> Sequence[SecretEntry]:
        if not self._folder.is_dir():
            return []
        files = sorted(p for p in self._folder.iterdir() if p.is_file() and p.name[0] != ".")
        return [SecretEntry(path.name, str(self._folder)) for path in files]
