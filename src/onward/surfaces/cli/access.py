"""`onward reveal`, `onward approve` and `onward access`: what only some may do."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json

access_cli = typer.Typer(help="Who you are, and what you may do.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(access_cli, name="access")
    cli.command(epilog="Example: onward reveal payments.iban e-3fe1b6a2-… --reason 'case 17'")(
        reveal
    )
    cli.command(epilog="Example: onward approve 3fe1b6a20c5d --reason 'as agreed'")(approve)


def reveal(
    column: Annotated[str, typer.Argument(help="The source and its column: payments.iban.")],
    values: Annotated[
        list[str] | None, typer.Argument(help="Values as they are stored; none reads lines.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it goes into the ledger.")] = "",
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Show what encrypted values were, to those who may see them."""
    from onward.app.project import open_project
    from onward.app.reveal import reveal as revealed
    from onward.surfaces.cli.show import put

    given = values or sys.stdin.read().split()
    with open_project(project) as opened:
        found = revealed(opened, column, given, reason)
    if not put([{"stored": s, "value": v} for s, v in zip(given, found, strict=True)], as_json):
        typer.echo("\n".join(found))


def approve(
    request: Annotated[str, typer.Argument(help="What the one who waits was told.")],
    reason: Annotated[str, typer.Option(help="Why; it goes into the ledger.")] = "",
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Approve what somebody else asked for."""
    from onward.app.access import approve as approved
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        what = approved(opened, request, reason)
    if not put({"request": request, "approved": what}, as_json):
        console.print(f"approved: {plain(what)}")


@access_cli.command("show", epilog="Example: onward access show")
def show_access(project: Folder = HERE, as_json: Json = False) -> None:
    """Show who you are here, your roles, and what they may do."""
    from onward.app.access import standing
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        found = standing(opened)
    if put(found, as_json):
        return
    console.print(f"[bold]{plain(found.caller.name)}[/]  [dim]known by {found.caller.known_by}[/]")
    if found.roles is None:
        console.print("no roles are declared: everybody may do everything")
        return
    for role, grants in found.roles.items():
        console.print(f"[bold]{plain(role)}[/]")
        for action, patterns in grants.items():
            console.print(f"  may {action} {plain(', '.join(patterns))}")
    if not found.roles:
        console.print("no role")


@access_cli.command("token", epilog="Example: onward access token ada")
def token(
    name: Annotated[str, typer.Argument(help="The user whom it stands for.")],
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Make a user's token, in an earlier one's place; shown once."""
    from onward.app.access import make_token
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        made = make_token(opened, name)
    if not put({"user": name, "token": made}, as_json):
        typer.echo(made)
