"""New projects: a template's files, copied under a name."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from onward.core.errors import DeclarationError, NotFoundError, OnwardError, unknown_name

TEMPLATES: Final = Path(__file__).parent / "templates"
_LEFTOVERS: Final = shutil.ignore_patterns("__pycache__", ".pytest_cache", ".onward")
_NAMED: Final = ("onward.toml", "README.md")  # the files that say PROJECT_NAME


def templates() -> tuple[str, ...]:
    """Return the names that `create_project` knows."""
    return tuple(sorted(path.name for path in TEMPLATES.iterdir() if path.is_dir()))


def create_project(folder: Path, name: str, template: str) -> list[Path]:
    """Write a project from `template` into `folder`; return its files, in order.

    The settings file comes last: a folder with an ``onward.toml`` holds the whole project.

    Parameters
    ----------
    folder
        A folder that is empty or not there yet.
    name
        The project's name; that of `folder` if empty.

    Raises
    ------
    OnwardError
        `folder` holds something already, or is a file.
    NotFoundError
        There is no such template.
    DeclarationError
        The name cannot be one.
    """
    folder = folder.resolve()
    name = name or folder.name
    if template not in templates():
        what, expected = unknown_name("template", template, templates())
        raise NotFoundError(what, expected=expected)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise DeclarationError(
            f"{name!r} cannot name a project",
            expected="letters, digits, '.', '_' and '-', beginning with a letter or a digit",
        )
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OnwardError(
            f"{folder} is there already",
            expected="a new or an empty folder",
            next_step="choose another name, or move what is there",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as temporary:
        whole = Path(temporary) / name
        shutil.copytree(TEMPLATES / template, whole, ignore=_LEFTOVERS)
        for file in (whole / n for n in _NAMED):
            file.write_text(file.read_text().replace("PROJECT_NAME", name))
        files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
        folder.mkdir(exist_ok=True)
        for child in sorted(whole.iterdir(), key=lambda path: path.name == "onward.toml"):
            child.rename(folder / child.name)
    return [folder / file for file in files]
