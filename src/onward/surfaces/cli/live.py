"""Live progress: one line per stage while it works, and what came of it when it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from onward.flow.progress import Listener, Progress, silent
from onward.surfaces.cli.show import console, plain


@contextmanager
def watching(*, quiet: bool = False) -> Iterator[Listener]:
    """Give a listener that shows each step; a spinner while one runs, where there is a terminal."""
    if quiet:
        yield silent
        return
    from rich.status import Status

    status = Status("opening the project", console=console, spinner="dots")
    status.start()

    def tell(progress: Progress) -> None:
        if progress.state == "started":
            status.start()
            status.update(f"{progress.stage} [dim]{progress.subject}[/]")
            return
        status.stop()
        mark = "[green]✓[/]" if progress.state == "finished" else "[red]✗[/]"
        console.print(
            f"{mark} {progress.stage:9} {progress.subject:16} "
            f"{plain(progress.detail):42} [dim]{progress.seconds:5.1f} s[/]"
        )

    try:
        yield tell
    finally:
        status.stop()
