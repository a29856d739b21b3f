"""`onward settings`: what can be set, what is, and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from onward.app.settings.listing import SettingEntry, SettingList


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.command(epilog="Example: onward settings gateway")(settings)


def settings(
    section: Annotated[
        str | None, typer.Argument(help="One section, and what its settings mean.")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """List every setting, its value, and where that comes from."""
    from onward.app.settings.listing import settings_of
    from onward.surfaces.cli.show import put, warn

    found = settings_of(project, section)
    if not put(found, as_json):
        _show(found, section)
        for name, meant in found.unknown.items():
            warn(f"there is no setting {name}: {meant}")
    if found.unknown:
        raise typer.Exit(2)


def _show(found: SettingList, section: str | None) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("setting", "value", "from", "in the environment"):
        if column != "in the environment" or section is not None:
            table.add_column(column, no_wrap=column == "setting", overflow="fold")
    last = ""
    for entry in found.entries:
        if entry.section != last:
            last = entry.section
            table.add_row(f"[bold]{plain(f'[{last}]')}[/]")
        row = (f"  {entry.name}", plain(entry.value), _place(entry), entry.variable)
        table.add_row(*row[: len(table.columns)])
    console.print(table)
    if section is not None:
        for paragraph in found.about[section].replace("``", "`").split("\n\n"):
            console.print(f"\n{plain(' '.join(paragraph.split()))}")
    else:
        console.print(
            "\n[dim]`onward settings SECTION` says what they mean; in the environment each is "
            "ONWARD_<SECTION>_<NAME>[/]"
        )


def _place(entry: SettingEntry) -> str:
    return "[dim]default[/]" if entry.place == "default" else entry.place
