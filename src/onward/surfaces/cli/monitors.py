"""`onward monitors`: what they saw of production, reading by reading, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from onward.core.wording import counted
from onward.surfaces.cli.figures import significant
from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from onward.app.monitors import Watched
    from onward.core.records import MonitorReport, MonitorResult


def register(cli: typer.Typer) -> None:
    """Add this file's command."""
    cli.command(epilog="Example: onward monitors --now")(monitors)


def monitors(
    now: Annotated[
        bool, typer.Option("--now", help="Measure up to now; nobody is told, nothing follows.")
    ] = False,
    last: Annotated[int, typer.Option(help="List so many reports, newest first.", min=1)] = 1,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Show what the monitors saw, and what came of it."""
    from onward.app.monitors import Watched, measured, watched
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, put

    with open_project(project) as opened:
        found: Sequence[Watched] = (
            [Watched(report=measured(opened), followed=None)] if now else watched(opened, last)
        )
    if put(found, as_json):
        return
    if not found:
        console.print("nothing is reported yet: `onward up` reports each window")
        console.print("[dim]next: `onward monitors --now`[/]")
    elif len(found) == 1:
        _show(found[0])
    else:
        _list(found)


def _show(watched: Watched) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain

    report = watched.report
    console.print(
        f"[bold]{plain(report.model)}[/], {_window(report)}:"
        f" {counted(report.predictions, 'prediction')}, {report.labelled:,} with a label"
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("monitor", "of", "value", "limit", "", "why"):
        table.add_column(
            column, justify="right" if column in ("value", "limit") else "left",
            no_wrap=column != "why", overflow="fold",
        )  # fmt: skip
    for result in report.results:
        table.add_row(
            result.monitor, plain(result.subject), _figure(result.value), _figure(result.limit),
            _state(result), plain(result.detail),
        )  # fmt: skip
    console.print(table if report.results else "the pipeline declares no monitors")
    if watched.followed:
        console.print(plain(watched.followed))


def _list(found: Sequence[Watched]) -> None:
    from onward.surfaces.cli.show import console, plain

    for watched in found:
        breaches = ", ".join(f"{b.monitor} ({b.subject})" for b in watched.report.breaches)
        said = f"[red]{plain(breaches)}[/]" if breaches else "no breach"
        console.print(f"{_window(watched.report)}  {said}", soft_wrap=True)
        if watched.followed:
            console.print(f"  [dim]{plain(watched.followed)}[/]", soft_wrap=True)


def _window(report: MonitorReport) -> str:
    return f"{report.window_start:%Y-%m-%d %H:%M} to {report.window_end:%Y-%m-%d %H:%M}"


def _figure(value: float | None) -> str:
    return "" if value is None else significant(value)


def _state(result: MonitorResult) -> str:
    if result.breached:
        return "[red]breach[/]"
    return "[yellow]not known[/]" if result.value is None else "[green]holds[/]"
