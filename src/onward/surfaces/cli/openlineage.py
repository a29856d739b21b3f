"""`onward openlineage`: lineage in the open standard's form."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.command(epilog="Example: onward openlineage --out lineage.ndjson")(openlineage)


def openlineage(
    send: Annotated[
        bool, typer.Option("--send", help="Send what the backend in onward.toml has not heard.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write every event to this file instead of the terminal.")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Print, write or send lineage as OpenLineage, an event a line."""
    from onward.app import openlineage as lineage
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, put

    with open_project(project) as opened:
        if send:
            sent = lineage.send(opened)
            if not put({"sent": sent}, as_json):
                console.print(f"{sent:,} events of the ledger sent")
            return
        written = lineage.lines(opened)
        if out is None:
            sys.stdout.writelines(f"{line}\n" for line in written)
            return
        with out.open("w") as file:
            count = sum(bool(file.write(f"{line}\n")) for line in written)
        if not put({"file": out, "events": count}, as_json):
            console.print(f"{count:,} events in {out}")
