"""`onward score`: a table's rows past the model, into an audited table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from onward.flow.model.score import Heard, Scored


def register(cli: typer.Typer) -> None:
    """Add this file's command."""
    cli.command(epilog="Example: onward score departures --workers 4 --keep flight_id")(score)


def score(
    table: Annotated[str, typer.Argument(help="A source or transform that was published.")],
    version: Annotated[
        int | None, typer.Option(help="The model's version.", show_default="the champion")
    ] = None,
    into: Annotated[
        str | None, typer.Option(help="The table: scores.NAME.", show_default="the table's name")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep", "-k", help="A column to keep with each answer.", show_default="the key"
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.", show_default="[compute] workers")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Score every row of a table, as the gateway would answer it."""
    from onward.app.project import open_project
    from onward.app.score import score as rows

    with open_project(project) as opened, _counting(quiet=as_json) as heard:
        scored = rows(
            opened,
            table,
            version=version,
            into=into,
            keep=keep or (),
            workers=workers,
            heard=heard,
        )
    show_scored(scored, as_json=as_json)
    raise typer.Exit(3 if scored.published is None else 0)


def show_scored(scored: Scored, *, as_json: bool) -> None:
    """Say how many rows were scored, by what, and where they are."""
    from onward.stages.validate.quarantine.table import table_of
    from onward.surfaces.cli.show import console, put

    if put(scored, as_json):
        return
    report = scored.report
    rate = scored.rows / scored.seconds if scored.seconds else 0
    console.print(
        f"{scored.rows:,} rows of {scored.read.table} by {scored.model}"
        f" [dim]{scored.seconds:.1f} s, {rate:,.0f} rows/s[/]"
    )
    if scored.published is None:
        console.print("held back: nothing was published")
        return
    console.print(f"{report.rows_published:,} answers in {scored.published.ref}")
    if report.rows_quarantined:
        console.print(
            f"{report.rows_quarantined:,} rows without an answer in {table_of(scored.table)}"
        )


@contextmanager
def _counting(*, quiet: bool) -> Iterator[Heard]:
    """Give what is told of rows that are done; a bar, where there is a terminal."""
    from onward.flow.model.score import unheard

    if quiet:
        yield unheard
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from onward.surfaces.cli.show import console

    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("scoring", total=None)
        yield lambda done, rows: bar.update(task, completed=done, total=rows)
