"""`onward features`: what there is, how fresh it is online, and whether it was served right."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from onward.core.wording import counted
from onward.surfaces.cli import services
from onward.surfaces.cli.figures import age
from onward.surfaces.cli.options import HERE, Folder, Json, alone

if TYPE_CHECKING:
    from onward.app.features import View
    from onward.app.functions import Function
    from onward.core.records import SkewReport
    from onward.flow.data.features import Freshness

features = typer.Typer(
    help="Features: what there is, how fresh, how served.",
    invoke_without_command=True,
)


def register(cli: typer.Typer) -> None:
    """Add this file's commands, and those of services."""
    services.register(features)
    cli.add_typer(features, name="features")


@features.callback()
def every(context: typer.Context, project: Folder = HERE, as_json: Json = False) -> None:
    """Features: what there is, how fresh, how served."""
    if alone(context, project, as_json):
        _listed(project, "", as_json=as_json)


@features.command("list", epilog="Example: onward features list --json")
def list_(project: Folder = HERE, as_json: Json = False) -> None:
    """List the feature views and the on-demand functions."""
    _listed(project, "", as_json=as_json)


@features.command(epilog="Example: onward features search amount")
def search(
    text: Annotated[str, typer.Argument(help="A part of a name, description, owner, tag, column.")],
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Find features by any word said of them."""
    _listed(project, text, as_json=as_json)


@features.command(epilog="Example: onward features show habits")
def show(
    name: Annotated[str, typer.Argument(help="A view's name, a function's, or a service's.")],
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Show a view and its versions, a function, or a service."""
    from onward.app.features import feature_view
    from onward.app.functions import function
    from onward.app.project import open_project

    with open_project(project) as opened:
        if name in opened.definition.services:
            services.show_service(opened.definition.services[name], as_json=as_json)
        elif (found := function(opened, name)) is not None:
            show_function(found, as_json=as_json)
        else:
            show_view(feature_view(opened, name), opened.clock.now(), as_json=as_json)


@features.command(epilog="Example: onward features status")
def status(project: Folder = HERE, as_json: Json = False) -> None:
    """Show how fresh the views are that are served."""
    from onward.app.features import status as freshness
    from onward.app.project import open_project

    with open_project(project) as opened:
        show_freshness(freshness(opened), as_json=as_json)


@features.command(epilog="Example: onward features materialize habits --full")
def materialize(
    view: Annotated[str | None, typer.Argument(help="One view; all unless given.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Write every entity's row again.")] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Write what is published to the online store."""
    from onward.app.features import materialize as write
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, put

    with open_project(project) as opened:
        done = [(read.view.ref, rows) for read, rows in write(opened, view, full=full)]
    if put([{"view": ref, "rows": rows} for ref, rows in done], as_json):
        return
    for ref, rows in done:
        said = f"{counted(rows, 'row')} written" if rows else "up to date"
        console.print(f"[bold]{ref}[/]: {said}")
    if not done:
        console.print("no view is published yet; `onward run` publishes them")


@features.command(epilog="Example: onward features audit --since 1d --sample 0.5")
def audit(
    since: Annotated[str, typer.Option(help="How far to look back.")] = "7d",
    sample: Annotated[float, typer.Option(help="The share of units.", min=0.0, max=1.0)] = 0.1,
    max_mismatch: Annotated[
        float | None, typer.Option(help="End with code 4 if a feature differs more often.")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Compute what was served again, and show where it differs."""
    from onward.app.features import audit as compare
    from onward.app.project import open_project
    from onward.core.clock import duration

    with open_project(project) as opened:
        reports = compare(opened, sample=sample, since=duration(since))
    show_skew(reports, as_json=as_json)
    worst = [report.worst.differing / report.rows for report in reports if report.worst]
    if max_mismatch is not None and max(worst, default=0.0) > max_mismatch:
        raise typer.Exit(4)


def _listed(project: Folder, text: str, *, as_json: bool) -> None:
    from onward.app.features import features as views_found
    from onward.app.functions import functions as functions_found
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        views, functions = views_found(opened, text), functions_found(opened, text)
        now = opened.clock.now()
    if put([*views, *functions], as_json):
        return
    show_views(views, now)
    show_functions(functions)
    if not views and not functions:
        nothing = f"no feature says {text!r}" if text else "the pipeline declares no features"
        console.print(plain(nothing))


def show_views(views: Sequence[View], now: datetime) -> None:
    """List views: a line of facts each, and what they are about."""
    from onward.surfaces.cli.show import console, plain

    for view in views:
        version, said = view.current, [f"by {', '.join(view.entity)}"]
        if version is None:
            said.append("not published yet")
        else:
            said.append(f"{len(version.columns) - len(view.entity)} features")
            said.append(f"newest row {age(version.mark.newest if version.mark else None, now)}")
        said += [view.owner, *(f"#{tag}" for tag in view.tags)]
        name = version.ref if version else view.name
        console.print(f"[bold]{name}[/]  {plain(' · '.join(filter(None, said)))}", soft_wrap=True)
        if view.description:
            console.print(f"  [dim]{plain(view.description)}[/]", soft_wrap=True)


def show_functions(functions: Sequence[Function]) -> None:
    """List on-demand functions with what each reads."""
    from onward.surfaces.cli.show import console, plain

    for one in functions:
        reads = ", ".join((*one.request, *one.features))
        console.print(f"[bold]{one.name}[/]  on demand · reads {plain(reads)}", soft_wrap=True)
        if one.description:
            console.print(f"  [dim]{plain(one.description)}[/]", soft_wrap=True)


def show_function(one: Function, *, as_json: bool) -> None:
    """Show one on-demand function."""
    from onward.surfaces.cli.show import console, plain, put

    if put(one, as_json):
        return
    gives = (
        "known once a champion takes it: `onward features get`"
        if one.gives is None
        else ", ".join(one.gives)
    )
    console.print(f"[bold]{one.name}[/]  on demand")
    for name, text in (
        ("about", one.description), ("declared at", one.declared_at), ("version", one.version),
        ("of requests", ", ".join(one.request)), ("of views", ", ".join(one.features)),
        ("gives", gives), ("used by", ", ".join(one.used_by)),
    ):  # fmt: skip
        if text:
            console.print(f"  [dim]{name:12}[/] {plain(text)}", soft_wrap=True)


def show_view(view: View, now: datetime, *, as_json: bool) -> None:
    """Show one view and its versions."""
    from onward.surfaces.cli.show import console, plain, put

    if put(view, as_json):
        return
    ttl = (
        "none: rows never grow stale" if view.ttl_s is None else str(timedelta(seconds=view.ttl_s))
    )
    defaults = ", ".join(f"{name}={value}" for name, value in view.defaults.items())
    lines = [
        ("about", view.description),
        ("owner", view.owner),
        ("tags", ", ".join(view.tags)),
        ("declared at", view.declared_at),
        ("entity", ", ".join(view.entity)),
        ("reads", ", ".join(view.inputs)),
        ("time to live", ttl),
        ("if missing", view.on_missing),
        ("if stale", view.on_stale),
        ("defaults", defaults),
        ("read by", ", ".join(view.read_by)),
    ]
    console.print(f"[bold]{view.name}[/]")
    for name, text in lines:
        if text:
            console.print(f"  [dim]{name:12}[/] {plain(text)}", soft_wrap=True)
    for version in view.versions:
        current = " [green]current[/]" if version.current else ""
        console.print(
            f"[bold]{version.ref}[/]{current}  {counted(version.rows, 'row')} in the lake"
        )
        columns = ", ".join(f"{column.name} {column.dtype}" for column in version.columns)
        mark = version.mark
        online = (
            "not there: `onward features materialize`"
            if mark is None
            else f"written {age(mark.at, now)} ago, newest row {age(mark.newest, now)} old"
        )
        for name, text in (
            ("columns", columns), ("online", online), ("made from", ", ".join(version.reads)),
            ("used by", ", ".join(version.models) or "no registered model"),
        ):  # fmt: skip
            console.print(f"  [dim]{name:12}[/] {plain(text)}", soft_wrap=True)
    if not view.versions:
        console.print("not published yet; `onward run` publishes it")


def show_freshness(found: Sequence[Freshness], *, as_json: bool) -> None:
    """Show how fresh each version is that is read."""
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain, put

    if put(found, as_json):
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("version", "newest row", "written", "state", "read by"):
        table.add_column(column, no_wrap=column != "read by", overflow="fold")
    for one in found:
        mark = one.mark
        state = "[red]not online[/]" if mark is None else "[yellow]behind[/]" if one.behind else ""
        table.add_row(
            one.view.ref,
            age(None if mark is None else mark.newest, one.at),
            age(None if mark is None else mark.at, one.at),
            state or "[green]up to date[/]",
            plain(", ".join(one.by)),
        )
    console.print(table if found else "no view is published yet; `onward run` publishes them")
    if any(one.behind for one in found):
        console.print("[dim]next: `onward features materialize`[/]")


def show_skew(reports: Sequence[SkewReport], *, as_json: bool) -> None:
    """Show, feature by feature, how often it was served otherwise than the lake gives it."""
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain, put

    if put(reports, as_json):
        return
    for report in reports:
        if not report.rows:
            console.print(
                f"[bold]{report.model} version {report.version}[/]: no unit fell into the sample;"
                " --sample 1 takes all of them"
            )
            continue
        console.print(
            f"[bold]{report.model} version {report.version}[/]: {counted(report.rows, 'vector')},"
            f" {report.same:.2%} of them served as the lake gives them again"
        )
        differing = [feature for feature in report.features if feature.differing]
        if not differing:
            continue
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("feature", "differs", "otherwise", "missing", "extra", "SMAPE", "one is"):
            table.add_column(column, justify="left" if column in ("feature", "one is") else "right")
        for feature in sorted(differing, key=lambda f: -f.differing):
            table.add_row(
                plain(feature.feature), f"{feature.differing / report.rows:.2%}",
                f"{feature.mismatched:,}", f"{feature.missing:,}", f"{feature.extra:,}",
                "" if feature.smape is None else f"{feature.smape:.3g}", feature.example,
            )  # fmt: skip
        console.print(table)
    if not reports:
        console.print("nothing was predicted in this time")
