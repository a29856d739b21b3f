"""`onward ingest`: the sources alone, once or for as long as they go on."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Annotated, Self

import typer

from onward.core.wording import counted
from onward.surfaces.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from rich.table import Table

    from onward.app.ingest import Waiting
    from onward.flow.data.follow import Paused
    from onward.flow.data.ingest import Taken

_RATE_S = 30.0  # over which rows a second are shown


def register(cli: typer.Typer) -> None:
    """Add this file's command."""
    cli.command(epilog="Example: onward ingest payments --follow")(ingest)


def ingest(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Sources by name; all of them unless given.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C, in small batches.")
    ] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Take in new rows, audited and published, without a run."""
    names = sources or []
    if follow:
        follow_sources(project, names, as_json=as_json)
    else:
        raise typer.Exit(take_once(project, names, as_json=as_json))


def take_once(folder: Path, names: Sequence[str], *, as_json: bool) -> int:
    """Take in what there is, and return the exit code: 3 where a batch was held."""
    from onward.app.ingest import ingest_once
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, put

    with open_project(folder) as opened:
        found = [taken for taken in ingest_once(opened, names) if taken is not None]
    if not put(found, as_json):
        for taken in found:
            console.print(line(taken), markup=False)
        if not found:
            console.print("nothing new")
    return 3 if any(taken.held for taken in found) else 0


def follow_sources(folder: Path, names: Sequence[str], *, as_json: bool) -> None:
    """Follow the sources until Ctrl-C or SIGTERM, which finish what is under way."""
    from onward.app.ingest import ingest_on
    from onward.app.log import logging_to
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console

    stop = Event()
    with (
        open_project(folder) as opened,
        logging_to(opened.settings.state / "ingest.log"),
        Board(as_json=as_json) as board,
        suppress(KeyboardInterrupt),
    ):
        ingest_on(opened, names, heard=board.heard, stop=stop)
    if not as_json:
        console.print(
            f"stopped after {counted(board.rows, 'row')}; the same command goes on from there"
        )


class Board:
    """Shows what is taken in: a table that moves on a terminal, else a line a batch."""

    def __init__(self, *, as_json: bool) -> None:
        from onward.surfaces.cli.show import console

        self.rows = 0
        self._as_json = as_json
        self._lines: dict[str, Line] = {}
        self._lock = Lock()
        self._live = None
        if console.is_terminal and not as_json:
            from rich.live import Live

            self._live = Live(console=console, get_renderable=self._table, refresh_per_second=2)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def heard(self, said: Taken | Paused | Waiting) -> None:
        """Take up what a follower says; called by several threads."""
        from onward.surfaces.cli.show import console

        with self._lock:
            self.rows += getattr(said, "published", 0)
            self._lines.setdefault(said.source, Line()).add(said)
            if self._as_json:
                sys.stdout.write(_json_line(said))
                sys.stdout.flush()
            elif self._live is None:
                console.print(f"{time.strftime('%H:%M:%S')} {line(said)}", markup=False)

    def _table(self) -> Table:
        from rich.table import Table

        from onward.surfaces.cli.show import plain

        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("source")
        for column in ("rows", "rows/s", "quarantined", "behind"):
            table.add_column(column, justify="right")
        table.add_column("")
        with self._lock:
            for name, at in self._lines.items():
                figures = (at.rows, at.rate(), at.quarantined, at.behind)
                shown = ("-" if figure is None else f"{figure:,.0f}" for figure in figures)
                table.add_row(name, *shown, plain(at.note))
        if not self._lines:
            table.caption = "waiting for rows; Ctrl-C stops"
        return table


class Line:
    """A source's line on the board."""

    def __init__(self) -> None:
        self.rows = self.quarantined = 0
        self.behind: int | None = None
        self.note = ""
        self._began = time.monotonic()
        self._lately: deque[tuple[float, int]] = deque()

    def add(self, said: Taken | Paused | Waiting) -> None:
        """Count a batch, or note why there is none."""
        from onward.flow.data.ingest import Taken

        if not isinstance(said, Taken):
            self.note = line(said).removeprefix(f"{said.source}: ")
            return
        self.note = ""
        self.rows += said.published
        self.quarantined += said.quarantined
        self.behind = said.behind
        self._lately.append((time.monotonic(), said.published))

    def rate(self) -> float:
        """Return rows a second over the last while."""
        now = time.monotonic()
        while self._lately and now - self._lately[0][0] > _RATE_S:
            self._lately.popleft()
        over = max(1.0, min(_RATE_S, now - self._began))
        return sum(rows for _, rows in self._lately) / over


def line(said: Taken | Paused | Waiting) -> str:
    """Return what was said, in a line."""
    from onward.flow.data.follow import Paused
    from onward.flow.data.ingest import Taken

    if isinstance(said, Paused):
        return f"{said.source}: {said.why}; again in {said.seconds:g} s"
    if not isinstance(said, Taken):
        return f"{said.source}: process {said.holder} takes it in; standing by"
    if said.held:
        return f"{said.source}: {counted(said.rows, 'row')} held: {', '.join(said.held)}"
    per_s = said.rows / said.seconds if said.seconds else 0
    behind = "" if said.behind is None else f", {said.behind:,} behind"
    erased = f", {said.left_out:,} of erased subjects left out" if said.left_out else ""
    return (
        f"{said.source}: {said.published:,} published, {said.quarantined:,} quarantined"
        f"{erased}{behind} ({per_s:,.0f} rows/s)"
    )


def _json_line(said: Taken | Paused | Waiting) -> str:
    import msgspec

    kind = type(said).__name__.lower()
    return msgspec.json.encode({"event": kind, **msgspec.to_builtins(said)}).decode() + "\n"
