"""`onward predictions`: what was predicted, for whom, by which version."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onward.surfaces.cli.figures import probabilities
from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onward.core.records import Prediction, Statement

Text = str | None


def register(cli: typer.Typer) -> None:
    """Add this file's command."""
    cli.command(epilog="Example: onward predictions --unit o-17 --since 2h")(predictions)


def predictions(
    id: Annotated[Text, typer.Argument(help="One prediction, with all that is known.")] = None,
    unit: Annotated[Text, typer.Option(help="About this unit: its key, joined by |.")] = None,
    model: Annotated[Text, typer.Option(help="By this model.")] = None,
    version: Annotated[int | None, typer.Option(help="By this version.")] = None,
    arm: Annotated[Text, typer.Option(help="By this arm: champion, candidate, …")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those without an answer.")] = False,
    since: Annotated[Text, typer.Option(help="From then on: a moment, or 2h ago as 2h.")] = None,
    until: Annotated[Text, typer.Option(help="Before then.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """List what was predicted, or show one prediction whole."""
    from onward.app.predictions import classes, feedback, one
    from onward.app.predictions import predictions as ask
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        if id is not None:
            found = one(opened, id)
            told = feedback(opened, found)
            names = classes(opened, found)
            if not put({**_facts(found, names), "feedback": told}, as_json):
                _show_one(found, told, names)
            return
        listed = ask(
            opened, unit=unit, model=model, version=version, arm=arm, failed=failed,
            since=since, until=until, limit=limit,
        )  # fmt: skip
        each = [(found, classes(opened, found)) for found in listed]
        if not put([_facts(found, names) for found, names in each], as_json):
            _show(each)


def _facts(found: Prediction, names: Sequence[str]) -> dict[str, Any]:
    """Return a prediction's fields; of several classes, the probability of each by its name."""
    facts = {field.name: getattr(found, field.name) for field in fields(found)}
    return facts | {"output": _by_name(found.output, names)}


def _by_name(output: float | list[float] | None, names: Sequence[str]) -> Any:
    return dict(zip(names, output, strict=True)) if isinstance(output, list) and names else output


def _show(found: Sequence[tuple[Prediction, Sequence[str]]]) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain

    if not found:
        console.print("there are no such predictions")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "at", "unit", "version", "arm", "output", "ms"):
        table.add_column(name, no_wrap=name == "id", overflow="fold")
    for each, names in found:
        table.add_row(
            each.id,
            f"{each.at:%m-%d %H:%M:%S}",
            plain(each.unit),
            str(each.version),
            each.arm,
            plain(_output(each, names)),
            f"{each.latency_us / 1000:.1f}",
        )
    console.print(table)


def _show_one(found: Prediction, told: Sequence[Statement], names: Sequence[str]) -> None:
    from onward.surfaces.cli.show import console, plain

    facts = {
        "prediction": found.id,
        "at": f"{found.at:%Y-%m-%d %H:%M:%S.%f}",
        "unit": found.unit,
        "model": f"{found.model}@{found.version}, the {found.arm}",
        "release": found.release,
        "output": _output(found, names),
        "error": found.error or "",
        "request": ", ".join(f"{k}={v}" for k, v in found.request.items()),
        "features": ", ".join(f"{k}={_figure(v)}" for k, v in found.features.items()),
        "marks": ", ".join(f"{k} {v}" for k, v in found.marks.items()),
        "feedback": ", ".join(f"{s.name} {_figure(s.value)} ({s.at:%m-%d %H:%M:%S})" for s in told),
    }
    for name, text in facts.items():
        if text:
            console.print(f"[dim]{name:<10}[/] {plain(text)}", soft_wrap=True)


def _output(found: Prediction, names: Sequence[str]) -> str:
    """Write what was answered, or the status of what was not."""
    output = _by_name(found.output, names)
    if output is None:
        return f"none ({found.status})"
    if isinstance(output, dict):
        return probabilities(output)
    return ", ".join(map(_figure, output if isinstance(output, list) else [output]))


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
