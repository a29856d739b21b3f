"""`onward reveal`, `onward approve` and `onward access`: what only some may do."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from onward.surfaces.cli.options import HERE, Folder, Json, alone

if TYPE_CHECKING:
    from onward.core.records.access import Action, Approval

access_cli = typer.Typer(help="Who has which role, and may do what.", invoke_without_command=True)


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
    request: Annotated[
        str | None,
        typer.Argument(help="What the one who waits was told.", show_default="list what waits"),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it goes into the ledger.")] = "",
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Approve what another asked for; without a request, list them."""
    from onward.app.access import approve as approved
    from onward.app.project import open_project
    from onward.flow.release.approval import approvals
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        if request is None:
            _show_approvals(approvals(opened.ledger), as_json=as_json)
            return
        found = approved(opened, request, reason)
    if not put(found, as_json):
        console.print(f"approved: {plain(found.by)} may {found.action} {plain(found.about)}")


_STATES: Final = {"given": "given", "used": "used, given"}


def _show_approvals(found: Sequence[Approval], *, as_json: bool) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain, put

    if put(found, as_json):
        return
    if not found:
        console.print("nobody has asked for anything that waits")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("request", "what", "asked by", "at", "state"):
        table.add_column(column, no_wrap=column == "request", overflow="fold")
    for one in found:
        by = f"{_STATES[one.state]} by {one.approver}" if one.approver else one.state
        at = f"{one.asked_at:%Y-%m-%d %H:%M}" if one.asked_at else ""
        why = f", as {one.by} says: {one.reason}" if one.action == "reveal" else ""
        what = plain(f"{one.action} {one.about}{why}")
        table.add_row(one.request, what, plain(one.by), at, plain(by))
    console.print(table)


@access_cli.callback(epilog="Example: onward access")
def every(context: typer.Context, project: Folder = HERE, as_json: Json = False) -> None:
    """Who has which role, and may do what."""
    if not alone(context, project, as_json):
        return
    from onward.app.access import roles
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        found = roles(opened)
    if put(found, as_json):
        return
    if found is None:
        console.print("no roles are declared: everybody may do everything")
        return
    for role in found.roles:
        members = ", ".join(role.members) or "nobody"
        console.print(f"[bold]{plain(role.name)}[/]  [dim]{plain(members)}[/]")
        _show_grants(role.may)
    if found.approvals:
        console.print(f"a second person approves: {', '.join(found.approvals)}")
    if found.verified:
        console.print("only callers with a token are believed")


def _show_grants(grants: Mapping[Action, tuple[str, ...]]) -> None:
    from onward.surfaces.cli.show import console, plain

    for action, patterns in grants.items():
        console.print(f"  may {action} {plain(', '.join(patterns))}")


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
        _show_grants(grants)
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
