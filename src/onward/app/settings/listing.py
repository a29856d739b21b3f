"""Every setting there is: what it is called, what holds, and who said so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, Final

from onward.app.settings.sections import sections
from onward.app.settings.sources import assembled, gather, meant, variable
from onward.core.errors import NotFoundError, unknown_name
from onward.core.urls import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onward.app.settings.sources import Gathered

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingEntry:
    """One setting: its value as ``onward.toml`` would say it, and the place that said it.

    `secret` ones are shown without what is secret in them.
    """

    section: str
    name: str
    value: str
    default: str
    place: str
    variable: str
    secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingList:
    """A project's settings; what each section is for; and variables that stand for none.

    `unknown` has, by variable, what was probably meant.
    """

    entries: tuple[SettingEntry, ...]
    about: Mapping[str, str]
    unknown: Mapping[str, str]


def settings_of(folder: Path, section: str | None = None) -> SettingList:
    """Return every setting of a project, or those of one section.

    Raises
    ------
    NotFoundError
        There is no such section, or no project.
    DeclarationError
        ``onward.toml`` or a variable says what cannot be.
    """
    known = sections()
    if section is not None and section not in known:
        what, expected = unknown_name("section", section, known)
        raise NotFoundError(what, expected=expected)
    found = gather(folder)
    chosen = [section] if section is not None else list(known)
    return SettingList(
        entries=tuple(entry for name in chosen for entry in _entries(name, found)),
        about={name: cleandoc(known[name].__doc__ or "") for name in chosen},
        unknown={name: meant(name) for name in found.unknown},
    )


def _entries(section: str, found: Gathered) -> Iterator[SettingEntry]:
    kind = sections()[section]
    settled, defaults = getattr(assembled(found), section), kind()
    for known in fields(kind):
        given = found.given.get((section, known.name))
        yield SettingEntry(
            section=section,
            name=known.name,
            value=_written(getattr(settled, known.name), secret=not known.repr),
            default=_written(getattr(defaults, known.name), secret=False),
            place=given.place if given else "default",
            variable=variable(section, known.name),
            secret=not known.repr,
        )


def _written(value: Any, *, secret: bool) -> str:
    """Return a value as TOML has it; of a secret URL what is no secret, of another word nothing."""
    if isinstance(value, timedelta):
        return f'"{_length(value)}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        hidden = secret and value and "${secret:" not in value
        return f'"{(shown(value) if "://" in value else "***") if hidden else value}"'
    return str(value)


def _length(value: timedelta) -> str:
    """Return a length of time in the largest unit that it is a whole number of."""
    milliseconds = round(value / timedelta(milliseconds=1))
    unit, size = next(((u, s) for u, s in _UNITS if milliseconds % s == 0), _UNITS[-1])
    return f"{milliseconds // size if milliseconds else 0}{unit if milliseconds else 's'}"
