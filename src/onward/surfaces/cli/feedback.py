"""`onward feedback`: what became known about a prediction."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json


def register(cli: typer.Typer) -> None:
    """Add this file's command."""
    cli.command(epilog="Example: onward feedback mab3k9x1f2c4.0.8.0 1")(feedback)


def feedback(
    prediction: Annotated[str, typer.Argument(help="The prediction's id.")],
    value: Annotated[str, typer.Argument(help="A number, true, false, or a text.")],
    name: Annotated[
        str, typer.Option(help="What it is: label, reward, or a figure of your own.")
    ] = "label",
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Tell the label, or a reward, of a prediction."""
    from onward.app.feedback import tell
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        answer = tell(opened, prediction, _value(value), name=name)
    if not put(answer, as_json):
        console.print(f"{plain(name)} {plain(value)}  [dim]of prediction {plain(prediction)}[/]")


def _value(text: str) -> float | bool | str:
    """Return a number or a truth value where the text is one in JSON, else the text."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return text
    return found if isinstance(found, (int, float, str)) else text
