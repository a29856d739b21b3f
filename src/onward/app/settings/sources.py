"""Where settings come from: flags, then the environment, then ``onward.toml``, then defaults."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, get_type_hints

from onward.app.access import TOKEN, USER
from onward.app.settings.sections import Settings, sections
from onward.app.settings.values import checked
from onward.core.errors import DeclarationError, Location, NotFoundError, nearest, unknown_name
from onward.infra.secrets.environment import PREFIX as SECRET

FILE: Final = "onward.toml"
PREFIX: Final = "ONWARD_"

_KUBERNETES: Final = re.compile(
    r"_SERVICE_HOST=|_SERVICE_PORT(_\w+)?=|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=|_PORT=\w+://"
)
"""What every container of a namespace finds in its environment about a Service named onward…."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave a setting: as written, where, and what the place calls it."""

    value: Any = field(repr=False)
    place: str
    name: str
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that was given, by section and name, and the variables that stand for no setting."""

    folder: Path
    given: Mapping[tuple[str, str], Given]
    storage: Mapping[str, Mapping[str, Any]] = field(repr=False)
    unknown: tuple[str, ...]


def read_settings(
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read a project's settings.

    The environment names a setting ``ONWARD_<SECTION>_<NAME>``, a flag ``section.name``.

    Raises
    ------
    NotFoundError
        `folder` holds no ``onward.toml``.
    DeclarationError
        A section, a name or a variable is unknown, or a value has the wrong type.
    """
    found = gather(folder, environment=environment, flags=flags)
    for unknown in found.unknown:
        raise DeclarationError(
            f"there is no setting {unknown}",
            expected=meant(unknown),
            next_step=f"mend its name, or `unset {unknown}`; `onward settings` lists every name",
        )
    return assembled(found)


def gather(
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Gathered:
    """Collect what a project's settings are given, the strongest place's value of each.

    Raises
    ------
    NotFoundError
        `folder` holds no ``onward.toml``.
    DeclarationError
        The file is not valid, or a section or a name in it is unknown.
    """
    folder = folder.resolve()
    file = folder / FILE
    if not file.is_file():
        raise NotFoundError(
            f"{folder} is no Onward project: it holds no {FILE}",
            next_step="`onward init NAME` makes one; or change to the project's folder",
        )
    values = _parsed(file)
    storage = _storage(values.pop("storage", {}), file)
    variables = os.environ if environment is None else environment
    found = dict(_of_file(values, file))
    found |= _of_environment(variables)
    for dotted, value in (flags or {}).items():
        section, _, name = dotted.partition(".")
        found[section, name] = Given(value, "flag", f"--{name.replace('_', '-')}")
    return Gathered(folder, found, storage, tuple(_strangers(variables, folder)))


def assembled(found: Gathered) -> Settings:
    """Return settings of what was given, checked; what was not given has its default.

    Raises
    ------
    DeclarationError
        A value has the wrong type, is none of the words, or out of bounds.
    """
    settings = Settings(folder=found.folder, storage=found.storage)
    for section, kind in sections().items():
        defaults, types = kind(), get_type_hints(kind)
        made = {
            name: checked(given.value, getattr(defaults, name), types[name], name, given)
            for (of, name), given in found.given.items()
            if of == section
        }
        settings = replace(settings, **{section: replace(defaults, **made)})
    return settings


def variable(section: str, name: str) -> str:
    """Return the environment's name of a setting."""
    return f"{PREFIX}{section}_{name}".upper()


def meant(unknown: str) -> str:
    """Return what a variable that stands for no setting probably meant."""
    known = [name.removeprefix(PREFIX) for name in (*_variables(), TOKEN, USER)]
    close = nearest(unknown.removeprefix(PREFIX), known)
    return (
        f"did you mean {PREFIX}{close}?"
        if close
        else f"{PREFIX}<SECTION>_<NAME>, such as {variable('gateway', 'port')}"
    )


# ---------------------------------------------------------------- the environment


def _variables() -> dict[str, tuple[str, str]]:
    return {
        variable(section, f.name): (section, f.name)
        for section, kind in sections().items()
        for f in fields(kind)
    }


def _of_environment(variables: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], Given]]:
    for name, setting in _variables().items():
        text = variables.get(name)
        if text is not None and not _KUBERNETES.search(f"{name}={text}"):
            yield setting, Given(text, name, name)


def _strangers(variables: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Find the variables that look like settings and are none: nobody would hear them.

    Secrets are none, nor what the project's files name themselves as ``${env:NAME}``.
    """
    known = {*_variables(), TOKEN, USER}
    for name in sorted(n for n in variables if n.startswith(PREFIX) and n not in known):
        secret = name.startswith(SECRET)
        if not (secret or _KUBERNETES.search(f"{name}={variables[name]}") or _named(name, folder)):
            yield name


def _named(variable: str, folder: Path) -> bool:
    files = (folder / FILE, *folder.glob("*.py"))
    return any(f"${{env:{variable}}}" in file.read_text(errors="replace") for file in files)


# ---------------------------------------------------------------- the file


def _parsed(file: Path) -> dict[str, dict[str, Any]]:
    try:
        values = tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise DeclarationError(
            f"{file} is not valid TOML: {error}", next_step="mend the line that it names"
        ) from None
    for section, given in values.items():
        known = (*sections(), "storage")
        if section not in known or not isinstance(given, dict):
            what, expected = unknown_name("section", section, known)
            raise DeclarationError(
                f"{file.name}: {what}", expected=expected, location=_line(file, section)
            )
    return values


def _of_file(
    values: Mapping[str, Mapping[str, Any]], file: Path
) -> Iterator[tuple[tuple[str, str], Given]]:
    for section, given in values.items():
        known = [f.name for f in fields(sections()[section])]
        for name, value in given.items():
            location = _line(file, section, name)
            if name not in known:
                what, expected = unknown_name("setting", name, known)
                raise DeclarationError(f"[{section}] {what}", expected=expected, location=location)
            place = f"{file.name}:{location.line}" if location else file.name
            yield (section, name), Given(value, place, f"[{section}] {name}", location)


def _storage(given: Mapping[str, Any], file: Path) -> Mapping[str, Mapping[str, Any]]:
    for protocol, options in given.items():
        if not isinstance(options, dict):
            raise DeclarationError(
                f"[storage] {protocol} is no table",
                expected='a table per protocol, such as [storage.s3] with key = "${secret:s3-key}"',
                location=_line(file, "storage", protocol),
            )
    return given


_HEADER: Final = re.compile(r"\s*\[+\s*([^\[\]]+?)\s*\]")
_KEY: Final = re.compile(r"""\s*["']?([\w.-]+)["']?\s*=""")


def _line(file: Path, section: str, name: str = "") -> Location | None:
    """Return where a name stands in the file; where its section does, if it is not seen itself."""
    inside, of_section = "", None
    for number, text in enumerate(file.read_text().splitlines(), start=1):
        if header := _HEADER.match(text):
            inside = found = header[1]
        elif key := _KEY.match(text):
            found = f"{inside}.{key[1]}" if inside else key[1]
        else:
            continue
        if found == f"{section}.{name}":
            return Location(str(file), number)
        if of_section is None and found.partition(".")[0] == section:
            of_section = Location(str(file), number)
    return of_section
