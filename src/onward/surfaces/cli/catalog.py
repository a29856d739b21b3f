"""`onward catalog`: what there is, who answers for it, what it must hold, how fresh it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from onward.core.records.catalog import CatalogEntry


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.command(epilog="Example: onward catalog orders")(catalog)


def catalog(
    name: Annotated[str | None, typer.Argument(help="One entry, with all that is known.")] = None,
    dcat: Annotated[
        bool, typer.Option("--dcat", help="Print DCAT (JSON-LD) for other catalogues.")
    ] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """List tables, features and models: owner, contract, freshness."""
    from onward.app import catalog as asked
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        if dcat:
            put(asked.dcat(opened), as_json=True)
            return
        found = asked.entries(opened, name)
    if put(found, as_json):
        return
    if name is None:
        _list(found)
    else:
        _show(found[0])


def _list(found: Sequence[CatalogEntry]) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("kind", "name", "owner", "rows", "newest", "description"):
        table.add_column(column, justify="right" if column == "rows" else "left")
    for entry in found:
        moment = entry.newest or entry.published_at
        table.add_row(
            entry.kind,
            entry.name,
            plain(entry.owner),
            "" if entry.rows is None else f"{entry.rows:,}",
            "" if moment is None else f"{moment:%Y-%m-%d %H:%M}",
            plain(entry.description),
        )
    console.print(table)


def _show(entry: CatalogEntry) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain

    console.print(f"[bold]{entry.name}[/] [dim]{entry.kind}[/] {plain(entry.description)}")
    for label, said in (
        ("owner", entry.owner),
        ("tags", ", ".join(entry.tags)),
        ("version", entry.ref or "none was published yet"),
        ("rows", "" if entry.rows is None else f"{entry.rows:,}"),
        ("published", "" if entry.published_at is None else f"{entry.published_at:%Y-%m-%d %H:%M}"),
        ("newest", "" if entry.newest is None else f"{entry.newest:%Y-%m-%d %H:%M}"),
        ("made from", ", ".join(entry.reads)),
        ("read by", ", ".join(entry.read_by)),
    ):
        if said:
            console.print(f"  [dim]{label:10}[/] {plain(said)}")
    for rule in entry.contract:
        console.print(f"  [dim]{'holds':10}[/] {plain(rule)}")
    if entry.columns:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("  column", "type", "classification"):
            table.add_column(column)
        for of in entry.columns:
            table.add_row(f"  {of.name}", of.dtype, plain("; ".join(of.classification)))
        console.print(table)
