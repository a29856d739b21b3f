"""`onward deploy`: what serves, where containers run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json

_cli = typer.Typer(
    help="Put what serves where containers run.",
    no_args_is_help=True,
)

Target = Annotated[
    str,
    typer.Option("--target", "-t", help="kubernetes, helm, kserve, compose, ray-serve or local."),
]


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(_cli, name="deploy")


@_cli.command(epilog="Example: onward deploy render --target helm --out chart")
def render(
    target: Target,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write to.", show_default="standard output")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Write the files that describe what serves now."""
    from onward.app.deployment import render as ask
    from onward.app.deployment import write
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        files = ask(opened, target)
    written = [] if out is None else write(files, out)
    if put(files if out is None else [str(path) for path in written], as_json):
        return
    for path in written:
        console.print(f"wrote {plain(str(path))}")
    if out is None:
        typer.echo("---\n".join(f"# {name}\n{text}" for name, text in files.items()), nl=False)


@_cli.command(epilog="Example: onward deploy apply --target kubernetes")
def apply(target: Target, project: Folder = HERE, as_json: Json = False) -> None:
    """Push what serves, and put it into effect."""
    from onward.app.deployment import apply as carry_out
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        done = carry_out(opened, target)
    found = {"pushed": done.pushed, "folder": str(done.folder), "command": list(done.command)}
    if not put(found, as_json):
        for reference in done.pushed:
            console.print(f"pushed [bold]{plain(reference)}[/]")
        console.print(f"applied {plain(str(done.folder))} by {plain(done.command[0])}")
