"""`onward profile`: what a table holds, column by column, in the terminal or as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from onward.core.wording import counted
from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from onward.app.profile import Profile


def register(cli: typer.Typer) -> None:
    """Add this file's command."""
    cli.command(epilog="Example: onward profile orders --html orders.html")(profile)


def profile(
    dataset: Annotated[
        str, typer.Argument(help="A dataset or table; NAME@ID or NAME@-1 for an older snapshot.")
    ],
    snapshot: Annotated[int | None, typer.Option(help="The snapshot's id.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Show what a table holds, column by column."""
    from onward.app.profile import profile as ask
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        found = ask(opened, dataset if snapshot is None else f"{dataset}@{snapshot}")
    if html is not None:
        _write(html, found)
    if put(found, as_json):
        return
    if html is not None:
        console.print(f"the profile of {found.table} is in [bold]{plain(str(html))}[/]")
    else:
        _show(found)


def _show(found: Profile) -> None:
    from rich.table import Table

    from onward.surfaces.cli.figures import share, summary, value
    from onward.surfaces.cli.show import console, plain

    console.print(
        f"[bold]{found.table}@{found.snapshot}[/] [dim]of {found.at:%Y-%m-%d %H:%M:%S}:[/] "
        f"{counted(found.rows, 'row')}, {len(found.columns)} columns",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("column", "type", "missing", "distinct", "shape", "values"):
        right = heading in ("missing", "distinct")
        justify: Literal["left", "right"] = "right" if right else "left"
        table.add_column(heading, justify=justify, no_wrap=heading != "values")
    for name, facts in found.columns.items():
        missing = share(facts["nulls"], found.rows) if facts["nulls"] else ""
        table.add_row(
            plain(name),
            f"[dim]{short_type(facts['dtype'])}[/]",
            f"[yellow]{missing}[/]" if missing else "",
            value(facts["distinct"]) if "distinct" in facts else "",
            _shape(facts),
            plain(summary(facts, found.rows)),
        )
    console.print(table)
    about = "" if found.exact else "; distinct values are estimated"
    console.print(f"[dim]values: least · middle · greatest, or the most frequent{about}[/]")


def _shape(facts: Mapping[str, Any]) -> str:
    from onward.surfaces.cli.figures import halved, spark

    counts = facts.get("bars", {}).get("counts", [])
    return spark(halved(counts)) if len(counts) > 2 else ""  # a boolean has two: its share is told


def short_type(dtype: str) -> str:
    """Return a type's name without what all of its kind have."""
    return dtype.replace("TIMESTAMP WITH TIME ZONE", "timestamp").lower()


def _write(file: Path, found: Profile) -> None:
    from onward.core.errors import DataError
    from onward.core.files import write_whole
    from onward.surfaces.cli.profile_page import page

    try:
        write_whole(file, page(found).encode())
    except OSError as error:
        raise DataError(
            f"{file} cannot be written: {error.strerror}",
            expected="a folder that exists and may be written to",
        ) from None
