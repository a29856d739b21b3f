"""Options that most commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

Folder = Annotated[
    Path, typer.Option("--project", "-p", help="The project's folder.", show_default="here")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
HERE: Final = Path()


def alone(context: typer.Context, project: Path, as_json: bool) -> bool:
    """Whether a group of commands was called without one of them, to show what it knows.

    Raises
    ------
    CallError
        It was called with one, and with options that stand before it: nobody would hear them.
    """
    from onward.surfaces.cli.usage import CallError

    command = context.invoked_subcommand
    if command is None:
        return True
    given = [name for name, there in (("--project", project != HERE), ("--json", as_json)) if there]
    if given:
        raise CallError(
            f"{given[0]} stands before `{command}`",
            expected=f"{context.command_path} {command} … {' '.join(given)}",
        )
    return False
