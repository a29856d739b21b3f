"""`onward cancel`: a run that nobody wants any more."""

from __future__ import annotations

from typing import Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json


def register(cli: typer.Typer) -> None:
    """Add this file's command."""
    cli.command(epilog="Example: onward cancel 20260114-093012-4f1c")(cancel)


def cancel(
    run: Annotated[
        str | None, typer.Argument(help="The run; the newest that has not ended unless given.")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """End a run that waits, is under way, or was cut short."""
    from onward.app.cancel import cancel as end
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        done = end(opened, run)
    if put(done, as_json):
        return
    if done.ended:
        console.print(f"run {plain(done.run)} is cancelled")
    else:
        console.print(f"run {plain(done.run)} ends before its next step")
        console.print("[dim]`onward runs` shows it[/]")
