"""`onward audit`: the ledger of everything that happened."""

from __future__ import annotations

import typer

from onward.core.wording import counted
from onward.surfaces.cli.options import HERE, Folder, Json, alone

_cli = typer.Typer(help="The ledger of everything that happened.", invoke_without_command=True)


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(_cli, name="audit")


@_cli.callback(epilog="Example: onward audit")
def state(context: typer.Context, project: Folder = HERE, as_json: Json = False) -> None:
    """The ledger of everything that happened; without a command, how it stands."""
    if not alone(context, project, as_json):
        return
    from onward.app.audit import chain
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        found = chain(opened)
    if put(found, as_json):
        return
    _show_intact(found.events)
    if found.head is not None:
        console.print(f"newest  {found.newest} of {plain(found.subject or '')}, {found.at:%F %T}")
        console.print(f"head    [dim]{found.head}[/]")


@_cli.command(epilog="Example: onward audit verify")
def verify(project: Folder = HERE, as_json: Json = False) -> None:
    """Check the ledger's hashes: nothing altered, removed, cut off."""
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        events = opened.ledger.verify()
    if not put({"events": events, "intact": True}, as_json):
        _show_intact(events)


def _show_intact(events: int) -> None:
    from onward.surfaces.cli.show import console

    console.print(
        f"the ledger is intact: {counted(events, 'event')}, each hashed over the one before"
    )
