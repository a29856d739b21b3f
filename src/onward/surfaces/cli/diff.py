"""`onward diff`: what is different between two tables, or two snapshots of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from onward.core.wording import counted
from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from onward.core.records import ColumnDiff, Diff

_WORDS: Final = ((0.1, "[dim]alike[/]"), (0.25, "[yellow]moved[/]"), (2.0, "[red]far apart[/]"))

_SEEN: Final = 0.005  # a distance that is not 0.00
_SECONDS: Final = 1e8  # a mean beyond is one of times: as seconds it says nothing to a person


def register(cli: typer.Typer) -> None:
    """Add this file's command."""
    cli.command(epilog="Example: onward diff orders@-1 orders")(diff)


def diff(
    before: Annotated[
        str, typer.Argument(help="A dataset or table; NAME@ID or NAME@-1 for an older snapshot.")
    ],
    after: Annotated[
        str | None, typer.Argument(help="Another; without it, BEFORE is compared with its past.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="A column that identifies a row; may be repeated.")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Compare two tables or snapshots: columns, rows, values."""
    from onward.app.diff import diff as ask
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        found = ask(opened, before, after, key=key or ())
    if not put(found, as_json):
        _show(found)


def _show(found: Diff) -> None:
    from onward.surfaces.cli.show import console

    names = [f"{d.table}@{d.snapshot}" for d in (found.before, found.after)]
    console.print(f"[bold]{names[0]}[/] → [bold]{names[1]}[/]", soft_wrap=True)
    if found.same:
        console.print(f"the same {counted(found.rows.after, 'row')}")
        return
    _show_rows(found)
    _show_schema(found)
    _show_columns(found)


def _show_rows(found: Diff) -> None:
    from onward.surfaces.cli.show import console, plain

    rows = found.rows
    how = f"by {', '.join(rows.key)}" if rows.how == "key" else "as whole rows"
    changed = f", {rows.changed:,} changed" if rows.how == "key" else ""
    console.print(
        f"rows     {rows.before:,} → {rows.after:,}; {plain(how)}: "
        f"[green]{rows.added:,} added[/], [red]{rows.removed:,} removed[/]{changed}"
    )
    if rows.columns:
        listed = ", ".join(f"{plain(name)} in {n:,}" for name, n in rows.columns.items())
        console.print(f"changed  {listed}")
    if rows.why:
        console.print(f"         [dim]{plain(rows.why)}[/]")


def _show_schema(found: Diff) -> None:
    from onward.surfaces.cli.profile import short_type
    from onward.surfaces.cli.show import console, plain

    for column in found.added:
        console.print(f"column   [green]+ {plain(column.name)}[/] {short_type(column.dtype)}")
    for column in found.dropped:
        console.print(f"column   [red]- {plain(column.name)}[/] {short_type(column.dtype)}")
    for one in found.retyped:
        types = f"{short_type(one.before)} → {short_type(one.after)}"
        console.print(f"column   [yellow]~ {plain(one.name)}[/] {types}")


def _show_columns(found: Diff) -> None:
    from rich.table import Table

    from onward.surfaces.cli.figures import share
    from onward.surfaces.cli.show import console, plain

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("column", "distance", "", "missing", "mean", "shift"):
        right = heading in ("distance", "shift")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    moved = [c for c in found.columns if (c.distance or 0) >= _SEEN or c.missing[0] != c.missing[1]]
    for one in moved:
        parts = [share(part, 1) for part in one.missing]
        table.add_row(
            plain(one.name),
            "" if one.distance is None else f"{one.distance:.3f}",
            next((w for most, w in _WORDS if one.distance is not None and one.distance < most), ""),
            "" if not any(one.missing) else " → ".join(dict.fromkeys(parts)),
            _means(one),
            "" if one.shift is None else f"{one.shift:.2f} sd",
        )
    same = len(found.columns) - len(moved)
    if moved:
        console.print(table)
        console.print(
            "[dim]distance: Jensen-Shannon, 0 alike to 1 disjoint; "
            "shift: of the mean, in standard deviations[/]"
        )
    if same:
        console.print(f"[dim]{same} column{'s are' if same > 1 else ' is'} distributed alike[/]")


def _means(one: ColumnDiff) -> str:
    before, after = one.mean
    if (
        before is None or after is None or abs(before) > 1e8
    ):  # times are seconds: a mean says nothing
        return ""
    return " → ".join(dict.fromkeys((f"{before:.4g}", f"{after:.4g}")))
