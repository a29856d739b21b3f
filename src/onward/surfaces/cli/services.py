"""`onward features services` and `get`: features of several views under one name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onward.surfaces.cli.figures import age
from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from onward.app.services import Served
    from onward.stages.features.config import FeatureView
    from onward.stages.features.on_demand import OnDemand
    from onward.stages.features.service import FeatureService


def register(features: typer.Typer) -> None:
    """Add this file's commands to those of features."""
    features.command(epilog="Example: onward features services")(services)
    features.command(epilog="Example: onward features get habits customer=c1")(get)


def services(project: Folder = HERE, as_json: Json = False) -> None:
    """List the services: features of several views under one name."""
    from onward.app.project import open_project

    with open_project(project) as opened:
        found = tuple(opened.definition.services.values())
    show_services(found, as_json=as_json)


def get(
    service: Annotated[str, typer.Argument(help="A service's name, a view's, or a function's.")],
    given: Annotated[
        list[str] | None,
        typer.Argument(help="The entity, and of a request what functions read: COLUMN=VALUE."),
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Show the features of one entity."""
    from onward.app.project import open_project
    from onward.app.services import online

    pairs = dict(pair.partition("=")[::2] for pair in given or ())
    with open_project(project) as opened:
        show_served(online(opened, service, pairs), opened.clock.now(), as_json=as_json)


def show_services(found: Sequence[FeatureService], *, as_json: bool) -> None:
    """List services with the features that each holds."""
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain, put

    said = [_facts(service) for service in found]
    if put(said, as_json):
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("service", "features", "owner", "about"):
        table.add_column(column)
    for service in found:
        members = ", ".join(_member(member) for member in service.members)
        table.add_row(
            service.name, plain(members), plain(service.owner), plain(service.description)
        )
    console.print(table if found else "the pipeline declares no feature service")


def show_service(service: FeatureService, *, as_json: bool) -> None:
    """Show one service: its features, whose it is, and what it is for."""
    from onward.surfaces.cli.show import console, plain, put

    facts = _facts(service)
    if put(facts, as_json):
        return
    console.print(f"[bold]{service.name}[/]  a service")
    for name, text in (
        ("about", service.description), ("owner", service.owner), ("tags", ", ".join(service.tags)),
        ("declared at", service.location), ("features", ", ".join(facts["features"])),
    ):  # fmt: skip
        if text:
            console.print(f"  [dim]{name:12}[/] {plain(str(text))}", soft_wrap=True)


def _facts(service: FeatureService) -> dict[str, Any]:
    return {
        "name": service.name,
        "features": [_member(member) for member in service.members],
        "owner": service.owner,
        "tags": service.tags,
        "description": service.description,
    }


def _member(member: FeatureView | OnDemand) -> str:
    selected = getattr(member, "selected", None)
    return member.name if selected is None else f"{member.name}[{', '.join(selected)}]"


def show_served(found: Sequence[Served], now: datetime, *, as_json: bool) -> None:
    """Show one entity's features, and how old each is."""
    from rich.table import Table

    from onward.surfaces.cli.figures import significant
    from onward.surfaces.cli.show import console, plain, put

    if put(found, as_json):
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("feature", "value", "age"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for served in found:
        value = "missing" if served.value is None else significant(served.value)
        table.add_row(served.feature, "" if served.needs else plain(value), _age(served, now))
    console.print(table)


def _age(served: Served, now: datetime) -> str:
    """Say how old a feature is; one of a request is as old as the request."""
    if served.needs:
        return f"on demand, needs {' '.join(f'{name}=' for name in served.needs)}"
    if served.function is not None:
        return "on demand"
    return age(served.event_time, now) + (", stale" if served.stale else "")
