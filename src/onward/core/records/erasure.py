"""Records of an erasure: whom rows are about, what was removed, and what is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from onward.core.records.masks import Mask

TOMBSTONE: Final = Mask(kind="hash", domain="onward.erased")
"""What stands for an erased subject: a keyed hash of the value, never the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose rows are to go, as stages know them.

    `columns` are those that say whom a row is about, `values` what stands there for the subject,
    as text: the raw value and what masks made of it. `units` are the keys of what was predicted
    about the subject, joined by ``|`` as the gateway does. None of it is shown.
    """

    columns: tuple[str, ...]
    values: frozenset[str] = field(repr=False)
    units: frozenset[str] = field(repr=False, default=frozenset())

    def is_in(self, values: Iterable[object]) -> bool:
        """Tell whether one of the values, of a row's subject columns, is the subject's."""
        return any(value is not None and str(value) in self.values for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What went from one place: `rows` there, and `detail` in words."""

    place: str
    rows: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """A file that still holds one of the subject's values, why, and what to do about it."""

    path: str
    why: str
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReport:
    """What an erasure did. `subject` is a keyed hash of the value that was asked for.

    `searched` says whether the bytes of every file of the state were searched; a value of fewer
    than four characters stands everywhere by chance and is not searched for. `elsewhere` names
    stores outside the state: they were asked for its rows again, and their bytes not searched.
    """

    subject: str
    columns: tuple[str, ...]
    dry_run: bool
    removed: tuple[Removed, ...]
    residues: tuple[Residue, ...]
    files_searched: int
    searched: bool
    elsewhere: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing of the subject was found afterwards."""
        return self.searched and not self.residues
