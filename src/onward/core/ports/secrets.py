"""Secrets: values by name that no record, log, event or fingerprint may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Secret:
    """A secret value. Its text is given by `reveal` alone: never by repr, str or a format."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not pickled: read it again where it is needed")


@dataclass(frozen=True, slots=True)
class SecretEntry:
    """A secret's name, and where it is kept; never its value."""

    name: str
    place: str


class Secrets(Protocol):
    """Named secrets. Names are lower-case letters, digits, ``-`` and ``_``."""

    def find(self, name: str) -> Secret | None:
        """Return the secret of this name, or None.

        Raises
        ------
        CorruptError
            The store is there and cannot be read, or others than its owner may read it.
        """
        ...

    def keep(self, name: str, secret: Secret, *, first: bool = False) -> Secret:
        """Store a secret and return what is stored; with `first`, an earlier one stays.

        Raises
        ------
        OnwardError
            The store is read-only: it is written by whoever runs the machine.
        """
        ...

    def entries(self) -> Sequence[SecretEntry]:
        """Return what is stored, by name."""
        ...
