"""`onward erase`: a subject goes, and what is left is said."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onward.core.wording import counted
from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from onward.core.records import ErasureReport, Removed


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.command(epilog="Example: onward erase --subject c-4711 --column customer_id --dry-run")(
        erase
    )


def erase(
    subject: Annotated[
        str, typer.Option("--subject", help="The value that stands for the subject; - reads it.")
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", help="The column it stands in; repeat for others.", show_default="declared"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    readmit: Annotated[
        bool, typer.Option("--readmit", help="Let sources bring an erased subject again.")
    ] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Remove a subject from everywhere; search for what is left."""
    from onward.app.erase import erase_subject
    from onward.app.project import open_project

    value = sys.stdin.readline().removesuffix("\n") if subject == "-" else subject
    if readmit:
        _readmit(project, value, column or (), as_json=as_json)
        return
    with open_project(project) as opened:
        report = erase_subject(
            opened,
            value,
            columns=column or (),
            dry_run=dry_run,
            heard=None if as_json else _show_removed,
        )
    _show(report, as_json=as_json)
    if not (dry_run or report.complete):
        raise typer.Exit(1)


def _readmit(project: Path, value: str, columns: Sequence[str], *, as_json: bool) -> None:
    from onward.app.erase import readmit
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        named = readmit(opened, value, columns=columns)
    if not put({"readmitted": named}, as_json):
        console.print(
            f"rows of this subject, by {plain(', '.join(named))}, are taken in again, as far as "
            "their sources deliver them from now on"
        )


def _show_removed(removed: Removed) -> None:
    from onward.surfaces.cli.show import console

    if removed.rows or removed.detail:
        detail = f"  [dim]{removed.detail}[/]" if removed.detail else ""
        console.print(f"{removed.place}: [bold]{counted(removed.rows, 'row')}[/]{detail}")


def _show(report: ErasureReport, *, as_json: bool) -> None:
    from onward.surfaces.cli.show import console, plain, put

    if put(report, as_json):
        return
    if report.dry_run:
        console.print("nothing was changed")
        return
    if not report.searched:
        console.print("too short to search files for: its rows are gone, its bytes are not proved")
        return
    console.print(f"searched {counted(report.files_searched, 'file')}")
    for place in report.elsewhere:
        console.print(f"asked again, bytes not searched: {plain(place)}")
    for residue in report.residues:
        console.print(f"[bold yellow]left[/] {plain(residue.path)}: {residue.why}")
        console.print(f"  [dim]next[/] {plain(residue.next_step)}")
    if report.complete:
        kept_out = any(part.rows for part in report.removed)
        console.print(
            "[bold green]nothing of it is left[/]"
            + (", and no source brings it back" if kept_out else "; it was nowhere")
        )
