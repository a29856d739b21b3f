"""`onward demo`: the replay with live progress, then lineage, scoreboard and pictures."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from onward.core.errors import DeclarationError
from onward.core.records import Metric, RunRequest, Suppressed
from onward.flow.progress import Listener, Progress, silent
from onward.surfaces.cli.live import watching
from onward.surfaces.cli.show import console, put, show_lineage

if TYPE_CHECKING:
    from onward.app.demo.replay import Replayed
    from onward.app.demo.scoreboard import Scoreboard


def run_demo(folder: Path, *, until: str, as_json: bool) -> None:
    """Run the loop on the flights of 2013 and show what came of it."""
    from onward.app.demo import replay as story
    from onward.app.demo.marks import marks
    from onward.app.demo.plots import draw
    from onward.app.demo.scoreboard import score

    end, began = _day(until), time.perf_counter()
    heading = console.rule if not as_json else lambda *_, **__: None
    with watching(quiet=as_json) as tell:
        heard: list[Listener] = [tell]
        heading("[bold]January to March: the first champion", align="left")

        def hear(progress: Progress) -> None:
            heard[-1](progress)

        project, clock = story.prepare(folder, tell=hear)
        with project:
            story.first_round(project)
            heard.append(silent)
            heading("[bold]From April on: replayed through the gateway", align="left")
            turns = _replayed(story.replay(project, clock, until=end), story.FIRST, end, as_json)
            board = score(project)
            pictures = draw(folder, board, turns, marks(project.ledger, project.definition.model))
            lineage = project.lineage(board.last_prediction)
    seconds = time.perf_counter() - began
    answer = {"scoreboard": board, "lineage": lineage, "pictures": pictures, "seconds": seconds}
    if put(answer, as_json):
        return
    heading("[bold]One prediction, traced", align="left")
    show_lineage(lineage, as_json=False, depth=3)
    heading("[bold]The year's scoreboard", align="left")
    show_scoreboard(board)
    for picture in pictures:
        console.print(f"[dim]picture[/] {picture}")
    console.print(
        f"[dim]{sum(t.sent.rows for t in turns):,} predictions in "
        f"{sum(t.sent.requests for t in turns):,} requests, "
        f"{sum(t.sent.failed for t in turns)} failed; {seconds:.0f} s in all[/]"
    )
    console.print(f"[dim]next: cd {folder} && onward status; onward models; onward runs[/]")


def _replayed(
    steps: Iterable[Replayed], first: datetime, end: datetime, as_json: bool
) -> list[Replayed]:
    """Go through the replay with a bar that moves in event time; what happens stays above it."""
    columns = (TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn())
    told: list[Replayed] = []
    with Bar(*columns, console=console, transient=True, disable=as_json) as bar:
        task = bar.add_task("", total=(end - first).total_seconds())
        for step in steps:
            told.append(step)
            rows = sum(one.sent.rows for one in told)
            bar.update(
                task,
                completed=(step.at - first).total_seconds(),
                description=f"{step.at:%b %d}  {rows:,} predicted",
            )
            if not as_json:
                _show_step(step)
    return told


def _show_step(step: Replayed) -> None:
    """Print a line for each thing that a turn did; the whole of it is in the ledger."""
    turn = step.turn
    decision = turn.decision
    if decision is not None and decision.action != "hold":
        _line(step, f"[bold]{decision.action}[/] version {decision.version}: {decision.reason}")
    if turn.report is not None and turn.report.breaches:
        found = ", ".join(f"{b.monitor} ({b.subject})" for b in turn.report.breaches)
        said = ""
        if isinstance(turn.verdict, Suppressed):
            said = f"; no retraining: {turn.verdict.reason.removeprefix(f'{found} ').strip(': ')}"
        _line(step, f"[yellow]breach[/] {found}[dim]{said}[/]")
    if isinstance(turn.verdict, RunRequest):
        _line(step, f"[bold]retraining[/]: {turn.verdict.reason}")
    for outcome in turn.outcomes:
        _line(step, f"[bold]{outcome.state}[/]: {outcome.reason}")


def _line(step: Replayed, text: str) -> None:
    console.print(f"[dim]{step.at:%b %d}[/] {text}", no_wrap=True, overflow="ellipsis", crop=True)


def show_scoreboard(board: Scoreboard) -> None:
    """Show the model that was delivered continuously against the first one, month by month."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("month")
    for column in ("flights", "delivered", "left alone", "difference, 95 %"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("answered by", overflow="fold")
    for month in (*board.months, board.year):
        versions = sorted(month.versions)
        table.add_row(
            month.name,
            f"{month.delivered.rows:,}",
            f"{month.delivered.value:.4f}",
            f"{month.alone.value:.4f}",
            _difference(month.difference),
            f"v{versions[0]}" if len(versions) == 1 else f"v{versions[0]} to v{versions[-1]}",
        )
    console.print(table)
    console.print(board.verdict)
    console.print(
        f"Of the first version's feature vectors, {board.same:.2%} are what the lake gives again: "
        "training and serving saw the same features."
    )


def _difference(found: Metric) -> str:
    sure = "green" if found.low > 0 else "red" if found.high < 0 else "dim"
    return f"[{sure}]{found.value:+.4f}[/] [dim]\\[{found.low:+.4f}, {found.high:+.4f}][/]"


def _day(text: str) -> datetime:
    from datetime import timedelta

    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
    except ValueError:
        raise DeclarationError(f"{text!r} is no date", expected="such as 2013-06-30") from None
