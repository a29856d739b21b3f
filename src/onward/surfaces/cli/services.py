"""`onward features services` and `get`: features of several views under one name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

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
    service: Annotated[str, typer.Argument(help="A feature service's name, or a view's.")],
    entity: Annotated[list[str], typer.Argument(help="The entity: COLUMN=VALUE for each column.")],
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Show the online features of one entity."""
    from onward.app.project import open_project
    from onward.app.services import online

    pairs = dict(pair.partition("=")[::2] for pair in entity)
    with open_project(project) as opened:
        show_served(online(opened, service, pairs), opened.clock.now(), as_json=as_json)


def show_services(found: Sequence[FeatureService], *, as_json: bool) -> None:
    """List services with the features that each holds."""
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain, put

    said = [
        {
            "name": service.name,
            "features": [_member(member) for member in service.members],
            "owner": service.owner,
            "tags": service.tags,
            "description": service.description,
        }
        for service in found
    ]
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
        old = age(served.event_time, now) + (", stale" if served.stale else "")
        table.add_row(served.feature, plain(value), old)
    console.print(table)
