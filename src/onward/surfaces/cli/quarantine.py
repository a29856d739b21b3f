"""`onward quarantine`: what waits there and why; exported, mended, judged again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onward.core.wording import counted
from onward.surfaces.cli.options import HERE, Folder, Json, alone

if TYPE_CHECKING:
    from onward.app.quarantine import Exported, Quarantined
    from onward.core.records import Replay, Selection

_cli = typer.Typer(
    help="Rows that failed their audit: show, export, replay.",
    invoke_without_command=True,
    no_args_is_help=False,
)


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(_cli, name="quarantine")


Dataset = Annotated[str, typer.Argument(help="A source or transform.")]
AnyDataset = Annotated[
    str | None, typer.Argument(help="A source or transform; all of them unless given.")
]
Rule = Annotated[str | None, typer.Option(help="Rows that broke this rule.")]
Run = Annotated[str | None, typer.Option(help="Rows that this run quarantined.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="This row; may be repeated.")]
Since = Annotated[str | None, typer.Option(help="Rows quarantined at most so long ago: 7d.")]
Where = Annotated[str | None, typer.Option(help="A SQL condition on the columns.")]


@_cli.callback(epilog="Example: onward quarantine")
def every(context: typer.Context, project: Folder = HERE, as_json: Json = False) -> None:
    """Show rows that failed their audit; without a command, how many and why."""
    if not alone(context, project, as_json):
        return
    from onward.app.project import open_project
    from onward.app.quarantine import show as ask

    with open_project(project) as opened:
        _show(ask(opened, limit=0), as_json=as_json)


@_cli.command(epilog="Example: onward quarantine show flights --rule 'distance is positive'")
def show(
    dataset: AnyDataset = None,
    rule: Rule = None,
    run: Run = None,
    ids: Ids = None,
    since: Since = None,
    where: Where = None,
    state: Annotated[str, typer.Option(help="waiting, released or all.")] = "waiting",
    limit: Annotated[int, typer.Option(help="How many rows to show.", min=0)] = 10,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Show rows that failed their audit, and why."""
    from onward.app.project import open_project
    from onward.app.quarantine import show as ask

    with open_project(project) as opened:
        chosen = _selection(opened.clock.now, rule, run, ids, since, where, state)
        _show(ask(opened, dataset, selection=chosen, limit=limit), as_json=as_json)


@_cli.command(epilog="Example: onward quarantine export flights bad.csv --since 7d")
def export(
    dataset: Dataset,
    file: Annotated[Path, typer.Argument(help="Where to: .csv, .parquet, .json or .jsonl.")],
    rule: Rule = None,
    run: Run = None,
    ids: Ids = None,
    since: Since = None,
    where: Where = None,
    state: Annotated[str, typer.Option(help="waiting, released or all.")] = "waiting",
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Write quarantined rows to a file, to look at or to mend."""
    from onward.app.project import open_project
    from onward.app.quarantine import export as write

    with open_project(project) as opened:
        chosen = _selection(opened.clock.now, rule, run, ids, since, where, state)
        _exported(write(opened, dataset, file, selection=chosen), as_json=as_json)


@_cli.command(epilog="Example: onward quarantine replay flights --with mended.csv")
def replay(
    dataset: Annotated[
        str | None, typer.Argument(help="A source; all of them unless given.")
    ] = None,
    rule: Rule = None,
    run: Run = None,
    ids: Ids = None,
    since: Since = None,
    where: Where = None,
    mended: Annotated[
        Path | None, typer.Option("--with", help="An exported file with corrected values.")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Judge rows again by today's rules, and publish what passes."""
    from onward.app.project import open_project
    from onward.app.quarantine import replay as judge

    with open_project(project) as opened:
        chosen = _selection(opened.clock.now, rule, run, ids, since, where, "waiting")
        _replayed(judge(opened, dataset, selection=chosen, mended=mended), as_json=as_json)


def _selection(
    now: Any,
    rule: str | None,
    run: str | None,
    ids: Sequence[str] | None,
    since: str | None,
    where: str | None,
    state: str,
) -> Selection:
    from onward.core.clock import duration
    from onward.core.errors import DeclarationError, unknown_name
    from onward.core.records import Selection

    states = ("waiting", "released", "all")
    if state not in states:
        what, expected = unknown_name("state", state, states)
        raise DeclarationError(what, expected=expected)
    return Selection(
        rule=rule,
        run=run,
        ids=tuple(ids or ()),
        since=now() - duration(since) if since else None,
        where=where,
        state=state,  # type: ignore[arg-type]  # one of the three, as was asked above
    )


def _show(found: Sequence[Quarantined], *, as_json: bool) -> None:
    from onward.surfaces.cli.show import console, plain, put

    if put(found, as_json):
        return
    if not any(entry.waiting or entry.released for entry in found):
        console.print("nothing is in quarantine")
    for entry in found:
        let_out = f", {entry.released:,} released" if entry.released else ""
        waiting = f"{counted(entry.waiting, 'row')} wait{'s' if entry.waiting == 1 else ''}"
        console.print(f"[bold]{entry.dataset}[/]: {waiting}{let_out}")
        for rule, count in entry.rules.items():
            console.print(f"  [yellow]{plain(rule)}[/]: {count:,}")
        for row in entry.newest:
            console.print(f"    {_row(row)}", soft_wrap=True)
    if any(entry.waiting for entry in found):
        console.print("[dim]next: mend the rule or the rows, then `onward quarantine replay`[/]")


def _row(row: Mapping[str, Any]) -> str:
    from onward.stages.validate.quarantine.positions import SOURCE
    from onward.stages.validate.quarantine.table import ID, OWN
    from onward.surfaces.cli.show import plain

    values = [f"{k}={v}" for k, v in row.items() if k not in OWN and v is not None]
    values += [f"({row['_unreadable']})"] if row["_unreadable"] else []
    where = f" {row[SOURCE]}" if row[SOURCE] else ""
    text = f"[bold]{row[ID]}[/]{plain(where)} [dim]{plain(', '.join(values[:8]))}[/]"
    if row["_released_by"]:
        mended = f", {', '.join(row['_mended'])} mended" if row["_mended"] else ""
        return f"{text} → [green]{plain(row['_released_by'])}[/]{plain(mended)}"
    return f"{text} ← [yellow]{plain(', '.join(row['_reasons']))}[/]"


def _exported(found: Exported, *, as_json: bool) -> None:
    from onward.surfaces.cli.show import console, plain, put

    if put(found, as_json):
        return
    console.print(
        f"{counted(found.rows, 'row')} of {found.dataset} are in [bold]{plain(str(found.file))}[/]"
    )
    again = f"onward quarantine replay {found.dataset} --with {found.file}"
    console.print(f"[dim]next: mend its values, then `{plain(again)}`[/]", soft_wrap=True)


def _replayed(found: Sequence[Replay], *, as_json: bool) -> None:
    from onward.surfaces.cli.show import console, plain, put

    if put(found, as_json):
        return
    for report in found:
        with_values = f" with {report.mended:,} mended" if report.mended else ""
        console.print(
            f"[bold]{report.dataset}[/]: {counted(report.rows, 'row')} judged again{with_values}, "
            f"[green]{report.released:,} released[/], {report.kept:,} stay"
        )
        if report.released_before:
            console.print(f"  {counted(report.released_before, 'row')} released before stay so")
        for rule in report.rules:
            if rule.offenders:
                console.print(f"  [yellow]{plain(rule.rule)}[/]: {counted(rule.offenders, 'row')}")
        if report.published is not None:
            console.print(f"  by {report.run}, as {report.published.ref}", soft_wrap=True)
    if not found:
        console.print("nothing is in quarantine")
    elif any(report.released for report in found):
        console.print("[dim]next: `onward run` takes the released rows into tables and features[/]")
