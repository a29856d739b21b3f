"""`onward data`: how the data stands, now and over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from onward.app.data import DataStatus
    from onward.flow.data.figures import Figures, TableFigures

Side = Literal["left", "right"]

_cli = typer.Typer(help="How the data stands.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(_cli, name="data")


@_cli.command(epilog="Example: onward data status --since 30d")
def status(
    dataset: Annotated[
        str | None, typer.Argument(help="A source, transform or view; all unless given.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="The time up to now, as a row: 30d.")] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Show freshness, errors, rows, time and cost of every table."""
    from onward.app.data import data_status
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        found = data_status(opened, dataset, since=since)
    if not put(found, as_json):
        _show(found, since)


def _show(found: DataStatus, since: str | None) -> None:
    from onward.surfaces.cli.show import console, plain

    console.print(_now(found) if since is None else _over_time(found))
    waits = [f"{one.name} {one.waiting:,}" for one in found.tables if one.waiting]
    if waits:
        console.print(f"[yellow]in quarantine:[/] {plain(', '.join(waits))}")
    if since is not None:
        console.print(f"[dim]the last {plain(since)}, oldest first; a dot: nothing came[/]")
    console.print(f"[dim]{_about_cost(found)}[/]")


def _now(found: DataStatus) -> Table:
    cost = ("cost",) if found.per_hour else ()
    table = _table("data", "rows", "age", "came in", "errors", "held", "time", *cost)
    for one in found.tables:
        total = one.total
        table.add_row(
            one.name,
            f"{one.rows:,}",
            _age(total.age),
            f"{total.rows_in:,}",
            _errors(total),
            f"[red]{total.held:,}[/]" if total.held else "",
            _time(total),
            *([_cost(found, total)] if found.per_hour else []),
        )
    return table


def _over_time(found: DataStatus) -> Table:
    table = _table("data", "", "", justify=("left", "right", "left"))
    for one in found.tables:
        total = one.total
        lines = [
            ("came in", f"{total.rows_in:,}", _line(one, lambda p: p.rows_in or None)),
            ("time", _time(total), _line(one, lambda p: p.seconds or None)),
            ("age", _age(total.age), _line(one, lambda p: p.age)),
        ]
        if one.kind != "features":
            lines.insert(1, ("errors", _errors(total), _line(one, lambda p: p.error_rate)))
        if found.per_hour:
            lines.append(("cost", _cost(found, total), _line(one, lambda p: p.cost or None)))
        for number, (what, value, line) in enumerate(lines):
            name = f"[bold]{one.name}[/]" if not number else ""
            table.add_row(name, f"[dim]{what}[/] {value}", line)
        table.add_section()
    return table


def _line(one: TableFigures, of: Callable[[Figures], float | None]) -> str:
    from onward.surfaces.cli.figures import spark

    return spark([of(period) for period in one.periods])


def _table(*headings: str, justify: tuple[Side, ...] = ()) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", show_header=bool(headings[1]))
    for number, heading in enumerate(headings):
        side: Side = justify[number] if justify else "right" if number else "left"
        table.add_column(heading, justify=side, no_wrap=True)
    return table


def _errors(total: Figures) -> str:
    from onward.surfaces.cli.figures import share

    if total.error_rate is None:
        return ""
    text = share(total.quarantined, total.rows_in)
    return f"[yellow]{text}[/]" if total.quarantined else text


def _time(total: Figures) -> str:
    about = "~" if total.basis == "estimated" else ""
    return f"{about}{total.seconds:,.1f} s" if total.seconds else ""


def _cost(found: DataStatus, total: Figures) -> str:
    about = "~" if total.basis == "estimated" else ""
    return f"{about}{total.cost:,.4f} {found.currency}"


def _age(seconds: float | None) -> str:
    """Write an age in the largest unit of which there are two."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _about_cost(found: DataStatus) -> str:
    measured = "time is measured by the wall; ~ is estimated from the rows"
    if not found.per_hour:
        return f"{measured}; [cost] per_hour in onward.toml puts a price on it".replace("[", r"\[")
    return f"{measured}; cost is time at {found.per_hour:g} {found.currency} an hour, as declared"
