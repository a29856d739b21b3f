"""`onward transform` and `onward graph`: derived tables, and what reads what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from onward.flow.pipeline.graph import Node

Selection = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        "-s",
        help="name, +name (and what it reads), name+ (and what reads it), 2+name, tag:word; "
        "spaces join, commas intersect.",
        show_default="everything",
    ),
]


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.command(epilog="Example: onward transform --select +daily_sales")(transform)
    cli.command(epilog="Example: onward graph --select orders+ --json")(graph)


def transform(
    select: Selection = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Build whole, even if nothing changed.")
    ] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Build derived tables from published ones, without training."""
    from onward.app.handover import Handed, done_or_handed_over
    from onward.app.project import open_project
    from onward.app.transform import asked_for, carry_out
    from onward.surfaces.cli.live import watching
    from onward.surfaces.cli.run import EXIT, show_handed, show_stopped
    from onward.surfaces.cli.show import console, put, show_outcome

    try:
        with watching(quiet=as_json) as tell, open_project(project, tell=tell) as opened:
            wish = asked_for(opened, select or (), full_refresh=full_refresh)
            if wish is None:
                if not put({"state": "nothing selected"}, as_json):
                    console.print("no transform is selected; `onward graph` shows what there is")
                return
            done = done_or_handed_over(opened, lambda: carry_out(opened, wish), lambda: wish)
    except KeyboardInterrupt as stopped:
        ours = "`onward run --resume` goes on where it stood"
        raise typer.Exit(show_stopped(stopped, ours, as_json)) from None
    if isinstance(done, Handed):
        raise typer.Exit(show_handed(done, as_json=as_json))
    show_outcome(done, as_json=as_json)
    raise typer.Exit(EXIT.get(done.state, 0))


def graph(select: Selection = None, project: Folder = HERE, as_json: Json = False) -> None:
    """Show what reads what, from sources to the model."""
    from onward.app.project import open_project
    from onward.app.transform import nodes

    with open_project(project) as opened:
        show_graph(nodes(opened, select or ()), as_json=as_json)


def show_graph(nodes: Sequence[Node], *, as_json: bool) -> None:
    """List nodes with what they read, in an order in which they could be built."""
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain, put

    if put(nodes, as_json):
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("kind", "name", "reads", "tags"):
        table.add_column(column)
    for node in nodes:
        reads = ", ".join(read.partition(":")[2] for read in node.reads)
        table.add_row(node.kind, node.name, plain(reads), plain(", ".join(node.tags)))
    console.print(table)
