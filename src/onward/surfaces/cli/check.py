"""`onward check`: rules that the data itself suggests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from onward.app.suggest import Suggested

_cli = typer.Typer(help="Rules over data.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(_cli, name="check")


@_cli.command(epilog="Example: onward check suggest orders")
def suggest(
    dataset: Annotated[str, typer.Argument(help="A source or transform.")],
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Propose checks, as lines to paste, each with its evidence."""
    from onward.app.project import open_project
    from onward.app.suggest import suggest as ask
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        found = ask(opened, dataset)
    if not put(found, as_json):
        _show(found)


def _show(found: Suggested) -> None:
    from onward.surfaces.cli.show import console, plain

    if not found.suggestions:
        console.print(f"nothing to suggest from {found.rows:,} rows of {found.table}")
    else:
        console.print(f"[dim]# from {found.rows:,} rows of {found.table}@{found.snapshot}[/]")
        console.print("checks=[", markup=False)
        for one in found.suggestions:
            console.print(
                f"    [bold]{plain(one.code)}[/],  [dim]# {plain(one.evidence)}[/]", soft_wrap=True
            )
        console.print("],", markup=False)
    if found.declared:
        console.print(f"[dim]# declared already: {plain(', '.join(found.declared))}[/]")
