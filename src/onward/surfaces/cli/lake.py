"""`onward lake`: tables, what they were, and what may go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from onward.core.wording import counted
from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from rich.table import Table

    from onward.app.lake import Collected, TableInfo
    from onward.core.ports import Snapshot

_cli = typer.Typer(help="Tables, what they were, and what may go.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(_cli, name="lake")


@_cli.command(epilog="Example: onward lake tables")
def tables(project: Folder = HERE, as_json: Json = False) -> None:
    """List the published tables."""
    from onward.app.lake import tables as ask
    from onward.app.project import open_project

    with open_project(project) as opened:
        _tables(ask(opened), as_json=as_json)


@_cli.command(epilog="Example: onward lake history orders --limit 5")
def history(
    table: Annotated[str, typer.Argument(help="A table's name; raw. may be left out.")],
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """List a table's snapshots that can still be read."""
    from onward.app.lake import history as ask
    from onward.app.project import open_project

    with open_project(project) as opened:
        _history(ask(opened, table), limit, as_json=as_json)


@_cli.command(epilog="Example: onward lake gc --dry-run --older-than 7d")
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    older_than: Annotated[
        str | None,
        typer.Option(
            help="Let go what was not current within this time: 7d.",
            show_default="[lake] keep in onward.toml, 30d",
        ),
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Remove snapshots and files that nothing needs."""
    from onward.app.lake import collect
    from onward.app.project import open_project
    from onward.core.clock import duration

    keep = duration(older_than) if older_than else None
    with open_project(project) as opened:
        _collected(collect(opened, older_than=keep, dry_run=dry_run), dry_run, as_json=as_json)


@_cli.command(epilog="Example: onward lake compact")
def compact(
    every: Annotated[int, typer.Option(help="Leave tables of so many small files.", min=1)] = 20,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Rewrite small files as few; the rows stay as they are."""
    from onward.app.lake import compact as rewrite
    from onward.app.project import open_project

    with open_project(project) as opened:
        _compacted(rewrite(opened, every=every), as_json=as_json)


def _tables(found: Sequence[TableInfo], *, as_json: bool) -> None:
    from rich.filesize import decimal

    from onward.surfaces.cli.show import console, put

    if put(found, as_json):
        return
    if not found:
        console.print("nothing is published yet; next: [bold]onward run[/]")
        return
    table = _table("table", "rows", "files", "size", "history", "changed")
    for one in found:
        table.add_row(
            one.table,
            f"{one.rows:,}",
            f"{one.files:,}",
            decimal(one.bytes),
            f"{one.snapshots:,}",
            f"{one.at:%Y-%m-%d %H:%M}",
        )
    console.print(table)


def _history(found: Sequence[Snapshot], limit: int, *, as_json: bool) -> None:
    from onward.surfaces.cli.show import console, plain, put

    if put(found[:limit], as_json):
        return
    before = [*(s.rows for s in found[1:]), None if found[-1].parent else 0]
    table = _table("snapshot", "at", "change", "rows", "+/-", "files", "by")
    for one, rows in list(zip(found, before, strict=True))[:limit]:
        table.add_row(
            str(one.id),
            f"{one.at:%Y-%m-%d %H:%M}",
            one.change,
            f"{one.rows:,}",
            "" if rows is None else f"{one.rows - rows:+,}",
            f"{one.files:,}",
            plain(one.summary.get("key", "").partition("@")[0]),
        )
    console.print(table)


def _collected(found: Sequence[Collected], dry_run: bool, *, as_json: bool) -> None:
    from rich.filesize import decimal

    from onward.surfaces.cli.show import console, plain, put

    if put(found, as_json):
        return
    table = _table("table", "go", "files", "frees", "stay", "because of")
    for one in found:
        reasons = Counter(v.because for v in one.plan.verdicts if v.because)
        because = ", ".join(f"{word} ({n})" if n > 1 else word for word, n in reasons.items())
        table.add_row(
            one.plan.table,
            f"{len(one.swept.snapshots):,}",
            f"{one.swept.files:,}",
            decimal(one.swept.bytes),
            f"{reasons.total():,}",
            plain(because),
        )
    console.print(table)
    files, freed = (sum(getattr(c.swept, of) for c in found) for of in ("files", "bytes"))
    verb = "would go" if dry_run else "are gone"
    console.print(f"{counted(files, 'file')} of {decimal(freed)} {verb}")


def _compacted(found: Sequence[Snapshot], *, as_json: bool) -> None:
    from onward.surfaces.cli.show import console, put

    if put(found, as_json):
        return
    for one in found:
        console.print(f"{one.table}: {counted(one.rows, 'row')} in {counted(one.files, 'file')}")
    if not found:
        console.print("no table has that many small files")


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    words = {"table", "snapshot", "change", "at", "changed", "by", "because of"}
    for name in columns:
        side: Literal["left", "right"] = "left" if name in words else "right"
        wraps = name in {"by", "because of"}  # names and ids are there to be copied, whole
        table.add_column(name, justify=side, no_wrap=not wraps, overflow="fold")
    return table
