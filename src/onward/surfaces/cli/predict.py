"""`onward predict`: rows from the command line, or held-out ones, through the gateway."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from onward.app.project import open_project
from onward.core.errors import DataError
from onward.surfaces.cli.figures import probabilities, significant
from onward.surfaces.cli.show import console, plain, put


def predict_rows(folder: Path, text: str | None, *, sample: int, body: bool, as_json: bool) -> None:
    """Predict and show one line per row, or print what a caller would send."""
    with open_project(folder) as project:
        rows = project.sample(sample) if text is None else _parse(text)
        if put({"rows": rows}, body):
            return
        answer = project.predict(rows)
    if put(answer, as_json):
        return
    for row, given in zip(rows, answer["predictions"], strict=True):
        shown = plain(", ".join(f"{k}={v}" for k, v in list(row.items())[:4]))
        output = plain(_figures(given["output"]))
        console.print(f"[bold]{output}[/]  [dim]version {given['version']}, {shown}…[/]")
        if "id" in given:
            console.print(f"  onward lineage {given['id']}", style="dim")
        else:
            console.print("  not logged: see `onward status`", style="yellow")


def _figures(output: float | dict[str, float]) -> str:
    return probabilities(output) if isinstance(output, dict) else significant(output)


def _parse(text: str) -> list[dict[str, Any]]:
    raw = sys.stdin.read() if text == "-" else text
    try:
        value = json.loads(raw)
    except json.JSONDecodeError as error:
        raise DataError(
            f"the rows are not JSON: {error}",
            expected='an object such as {"column": value}, or a list of them',
        ) from None
    rows = value if isinstance(value, list) else [value]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(
            "the rows are not JSON objects",
            expected='an object such as {"column": value}, or a list of them',
        )
    return rows
