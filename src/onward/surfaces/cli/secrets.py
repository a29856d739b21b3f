"""`onward secrets`: what the project keeps to itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json, alone

secrets_cli = typer.Typer(
    help="Secrets: passwords that settings name, and the keys of masks.",
    invoke_without_command=True,
)


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(secrets_cli, name="secrets")


@secrets_cli.callback(epilog="Example: onward secrets")
def every(context: typer.Context, project: Folder = HERE, as_json: Json = False) -> None:
    """Secrets: passwords that settings name, and the keys of masks."""
    if alone(context, project, as_json):
        _listed(project, as_json=as_json)


@secrets_cli.command("list", epilog="Example: onward secrets list")
def list_secrets(project: Folder = HERE, as_json: Json = False) -> None:
    """List the names of secrets and where each is kept."""
    _listed(project, as_json=as_json)


def _listed(project: Path, *, as_json: bool) -> None:
    from onward.app.project import open_project
    from onward.app.secrets import open_project_secrets
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        entries = open_project_secrets(opened.settings).entries()
    if put([{"name": e.name, "place": e.place} for e in entries], as_json):
        return
    for entry in entries:
        console.print(f"[bold]{plain(entry.name)}[/]  [dim]{plain(entry.place)}[/]")
    if not entries:
        console.print("no secrets; `onward secrets set NAME` keeps one")


@secrets_cli.command("set", epilog="Example: onward secrets set shop-db < password.txt")
def set_secret(
    name: Annotated[str, typer.Argument(help="The name by which settings know it.")],
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Keep a secret; it is asked for, or read from standard input."""
    from onward.app.project import open_project
    from onward.app.secrets import open_project_secrets
    from onward.core.errors import DeclarationError
    from onward.core.ports import Secret
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        text = (
            typer.prompt(name, hide_input=True)
            if sys.stdin.isatty()
            else sys.stdin.read().removesuffix("\n")
        )
        if not text:
            raise DeclarationError("the secret is empty", expected="text on standard input")
        open_project_secrets(opened.settings).keep(name, Secret(text))
    if not put({"name": name, "kept": True}, as_json):
        console.print(f"kept; settings name it as [bold]{plain(f'${{secret:{name}}}')}[/]")


@secrets_cli.command("show", epilog="Example: onward secrets show mask-tokens")
def show_secret(
    name: Annotated[str, typer.Argument(help="The secret's name.")],
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Print a secret, to give it to a gateway on another machine."""
    from onward.app.project import open_project
    from onward.app.secrets import find_secret
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        text = find_secret(opened, name).reveal()
    if not put({"name": name, "value": text}, as_json):
        typer.echo(text)


@secrets_cli.command("rotate", epilog="Example: onward secrets rotate reveal")
def rotate_key(
    ring: Annotated[str, typer.Argument(help="reveal or tokens.")] = "reveal",
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Use a new key from now on; what old ones masked stays readable."""
    from onward.app.project import open_project
    from onward.app.secrets import rotate
    from onward.core.errors import NotFoundError, unknown_name
    from onward.surfaces.cli.show import console, put

    if ring not in ("reveal", "tokens"):
        what, expected = unknown_name("ring of keys", ring, ("reveal", "tokens"))
        raise NotFoundError(what, expected=expected)
    with open_project(project) as opened:
        key = rotate(opened, "tokens" if ring == "tokens" else "reveal")
    if not put({"ring": ring, "key": key}, as_json):
        console.print(f"key [bold]{key}[/] is used from now on; earlier keys stay to be read by")
