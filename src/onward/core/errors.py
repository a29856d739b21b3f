"""Errors that say what happened, what was expected, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """Where the user wrote something: a file, and a line counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class OnwardError(Exception):
    """A mistake or a condition that the user can act on; never shown as a traceback.

    Parameters
    ----------
    what
        What happened, in one sentence.
    expected
        What would have been right.
    next_step
        What to do now; often a command.
    location
        The declaration in the user's file that is at fault.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        next_step: str | None = None,
        location: Location | None = None,
    ) -> None:
        super().__init__(what, expected, next_step, location)
        self.what = what
        self.expected = expected
        self.next_step = next_step
        self.location = location

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.expected, self.next_step, self.location))

    def __str__(self) -> str:
        lines = [f"{self.location}: {self.what}" if self.location else self.what]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.next_step:
            lines.append(f"  next: {self.next_step}")
        return "\n".join(lines)


def _rebuild(
    kind: type[OnwardError],
    what: str,
    expected: str | None,
    next_step: str | None,
    location: Location | None,
) -> OnwardError:
    return kind(what, expected=expected, next_step=next_step, location=location)


class DeclarationError(OnwardError):
    """The pipeline file or ``onward.toml`` declares something that cannot be."""

    exit_code = 2


class NotFoundError(OnwardError):
    """A name, a ref or an id that nothing answers to."""

    exit_code = 2


class DataError(OnwardError):
    """Data that cannot be read, or that a batch rule holds back."""

    exit_code = 3


class GateError(OnwardError):
    """A gate said no: evaluation, acceptance or approval."""

    exit_code = 4


class DeniedError(OnwardError):
    """The caller may not do this, or not before somebody else has approved it."""

    exit_code = 4


class BusyError(OnwardError):
    """Something else holds what this needs: a port, the project's lock, a lease."""

    exit_code = 5


class CorruptError(OnwardError):
    """Stored state does not match its checksum or cannot be read."""

    exit_code = 6


class UnavailableError(OnwardError):
    """A server that this needs does not answer: it is down, out of reach, or refuses the login."""

    exit_code = 7


class DivergedError(OnwardError):
    """Main moved on while a branch was being audited: rebase and audit again."""

    exit_code = 5


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the member of `known` that `name` most probably meant, or None."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> tuple[str, str]:
    """Return (what, expected) for a mistyped `name`, naming the closest valid one."""
    names = sorted(known)
    if not names:
        article = "an" if kind[0] in "aeiou" else "a"
        return f"there is no {kind} {name!r}", f"{article} {kind}, of which there is none yet"
    close = nearest(name, names)
    listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    hint = f"did you mean {close!r}? " if close else ""
    return f"there is no {kind} {name!r}", f"{hint}one of: {listed}"
