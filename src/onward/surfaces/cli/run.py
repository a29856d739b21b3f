"""`onward run`, `onward up` and `onward experiment`: commands that work for a while."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from onward.app.experiment import search
from onward.app.handover import Handed, LeftToUp, asked_for, done_or_handed_over
from onward.app.openlineage import try_to_send
from onward.app.project import open_project
from onward.surfaces.cli.live import watching
from onward.surfaces.cli.show import (
    console,
    plain,
    put,
    show_candidate,
    show_nothing_new,
    show_outcome,
    warn,
)

EXIT = {"held": 3, "rejected": 4, "refused": 4, "failed": 1, "cancelled": 1}


def run_once(folder: Path, *, force: bool, resume: bool, as_json: bool) -> int:
    """Run the pipeline once round and return the exit code that its outcome deserves."""
    try:
        with watching(quiet=as_json) as tell, open_project(folder, tell=tell) as project:
            if resume:
                with project.alone():
                    outcome = project.resume()
            else:
                done = done_or_handed_over(
                    project,
                    lambda: project.run(force=force),
                    lambda: asked_for(project, force=force),
                )
                if isinstance(done, Handed):
                    return show_handed(done, as_json=as_json)
                outcome = done
            last = next(iter(project.runs(limit=1)), None)
            unsent = try_to_send(project) if outcome is not None else None
    except KeyboardInterrupt as stopped:
        return show_stopped(stopped, "`onward run --resume` goes on where it stood", as_json)
    if unsent is not None:
        warn(f"lineage waits for the next time: {unsent}")
    if outcome is not None:
        show_outcome(outcome, as_json=as_json)
        return EXIT.get(outcome.state, 0)
    if not resume:
        show_nothing_new(last, as_json=as_json)
    elif not put({"state": "nothing to resume"}, as_json):
        console.print("nothing to resume: no run was cut short")
    return 0


def show_handed(done: Handed, *, as_json: bool) -> int:
    """Show what `onward up` did of what it was asked for; return the exit code that it deserves."""
    if not done.anew:
        show_nothing_new(done.run, as_json=as_json)
        return 0
    if not put(done.run, as_json):
        console.print(f"`onward up` ran {done.run.id}: {done.run.state}; {plain(done.run.reason)}")
    return EXIT.get(done.run.state or "", 0)


def show_stopped(stopped: KeyboardInterrupt, ours: str, as_json: bool) -> int:
    """Say what becomes of what Ctrl-C stopped, `ours` if it was done here; return the exit code."""
    if isinstance(stopped, LeftToUp):
        if not put({"state": "left to `onward up`", "run": stopped.wish}, as_json):
            console.print(f"no longer waiting: `onward up` goes on with run {stopped.wish}")
            console.print("[dim]`onward runs` shows how it stands; `onward cancel` ends it[/]")
    elif not put({"state": "interrupted"}, as_json):
        console.print(f"stopped: {ours}")
    return 128 + signal.SIGINT


def keep_up(folder: Path, *, host: str | None, port: int | None) -> None:
    """Run the gateway and the loops until Ctrl-C or SIGTERM."""
    from onward.app.up import Up

    flags = {k: v for k, v in {"gateway.host": host, "gateway.port": port}.items() if v is not None}
    try:
        with open_project(folder, flags=flags) as project, Up(project, say=_say) as running:
            console.print(f"serving [bold]{project.definition.model}[/] at [bold]{running.url}[/]")
            console.print(f"[dim]metrics at {running.url}/metrics; Ctrl-C stops it[/]")
            running.forever()
    except KeyboardInterrupt:
        console.print("stopped; a run that was under way goes on with the next `onward up`")


def _say(text: str) -> None:
    console.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False)


def run_experiment(folder: Path, *, trials: int, as_json: bool) -> int:
    """Search hyperparameters, with a bar that moves by trials; return the exit code."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    quiet = as_json or not console.is_terminal
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    try:
        with (
            open_project(folder) as project,
            Progress(*columns, console=console, transient=True, disable=quiet) as bar,
        ):
            task = bar.add_task("searching", total=trials)

            def heard(done: int, best: float | None) -> None:
                label = "searching" if best is None else f"best so far {best:.4f}"
                bar.update(task, completed=done, description=label)

            candidate = search(project, trials=trials, heard=heard)
    except KeyboardInterrupt as stopped:
        return show_stopped(stopped, "nothing was chosen", as_json)
    show_candidate(candidate, as_json=as_json)
    return 0
