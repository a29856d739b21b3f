"""`onward openlineage`: lineage in the open standard's form."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from onward.core.wording import counted
from onward.surfaces.cli.options import HERE, Folder, Json

_SHOWN: Final = 20  # runs in the table; --json has every event


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
    """Show lineage as OpenLineage has it; print, write or send it."""
    from onward.app import openlineage as lineage
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, put

    with open_project(project) as opened:
        if send:
            sent = lineage.send(opened)
            if not put({"sent": sent}, as_json):
                console.print(f"{counted(sent, 'event')} of the ledger sent")
            return
        written = lineage.lines(opened)
        if out is None and as_json:
            sys.stdout.writelines(f"{line}\n" for line in written)
            return
        if out is None:
            _show(written)
            return
        with out.open("w") as file:
            count = sum(bool(file.write(f"{line}\n")) for line in written)
        if not put({"file": out, "events": count}, as_json):
            console.print(f"{counted(count, 'event')} in {out}")


def _show(lines: Iterator[str]) -> None:
    """List the newest runs that ended, with what each read and wrote."""
    import msgspec
    from rich.table import Table

    from onward.core.wording import counted
    from onward.surfaces.cli.show import console, plain

    events, newest = 0, deque[Any](maxlen=_SHOWN)
    for line in lines:
        event, events = msgspec.json.decode(line), events + 1
        if event["eventType"] != "START":
            newest.append(event)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("ended", "how", "job", "read", "wrote"):
        table.add_column(column, no_wrap=column in ("ended", "how"), overflow="fold")
    for event in newest:
        read, wrote = (
            ", ".join(dataset["name"] for dataset in event[side]) for side in ("inputs", "outputs")
        )
        at = event["eventTime"][:19].replace("T", " ")
        how = event["eventType"].lower()
        table.add_row(at, how, plain(event["job"]["name"]), plain(read), plain(wrote))
    console.print(table if newest else "no run has ended yet; `onward run` starts the first")
    console.print(f"[dim]{counted(events, 'event')} in all; --json prints each as OpenLineage[/]")
