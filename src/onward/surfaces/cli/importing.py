"""`onward import feast`: what another tool declares, as declarations of a pipeline file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from onward.surfaces.cli.options import Json

importing = typer.Typer(
    help="Take over what another tool declares.", no_args_is_help=True, rich_markup_mode=None
)


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(importing, name="import")


@importing.callback()
def every() -> None:
    """Take over what another tool declares."""


@importing.command(epilog="Example: onward import feast ../feature_repo --out features.py")
def feast(
    path: Annotated[
        Path, typer.Argument(help="The repository's folder, or what `feast registry-dump` wrote.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write a Python file; to the terminal unless given.")
    ] = None,
    command: Annotated[
        str, typer.Option("--feast", help="Feast's command, in whatever environment it is.")
    ] = "feast",
    as_json: Json = False,
) -> None:
    """Turn a Feast repository into sources, views and services."""
    from onward.app.feast import registry, translate
    from onward.core.errors import DeclarationError
    from onward.core.wording import counted
    from onward.surfaces.cli.show import console, plain, put, warn

    if out is not None and out.exists():
        raise DeclarationError(
            f"{out} is there already", expected="a new file", next_step="name another, or move it"
        )
    found = translate(registry(path, feast=command))
    if out is not None:
        out.write_text(found.code)
    if put(found, as_json):
        return
    for note in found.notes:
        warn(note)
    if out is None:
        sys.stdout.write(found.code)
        return
    console.print(
        f"[bold]{out}[/]: {counted(len(found.sources), 'source')}, "
        f"{counted(len(found.views), 'feature view')}, "
        f"{counted(len(found.functions), 'on-demand function')}, "
        f"{counted(len(found.services), 'feature service')}"
    )
    names = ", ".join((*found.sources, *found.views, *found.functions, *found.services))
    console.print(f"next, in pipeline.py: [bold]from {plain(out.stem)} import {names}[/]")
