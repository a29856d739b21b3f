"""`onward gateway`: how the gateway stands, worker by worker."""

from __future__ import annotations

import typer

from onward.surfaces.cli.options import HERE, Folder, Json


def register(cli: typer.Typer) -> None:
    """Add this file's command."""
    cli.command(epilog="Example: onward gateway")(gateway)


def gateway(project: Folder = HERE, as_json: Json = False) -> None:
    """Show the gateway's workers, and what each has answered."""
    from rich.table import Table

    from onward.app.gateway.workers import gateway_status
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        found = gateway_status(opened)
    if put(found, as_json):
        return
    console.print(plain(found.url))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for heading in ("slot", "process", "state", "since"):
        table.add_column(heading, no_wrap=True)
    for heading in ("requests", "refused", "failed", "waiting", "open", "restarts"):
        table.add_column(heading, justify="right", no_wrap=True)
    for worker in found.workers:
        counts = (
            worker.requests, worker.refused, worker.failed, worker.waiting, worker.connections,
            worker.restarts,
        )  # fmt: skip
        table.add_row(
            str(worker.slot), str(worker.pid), worker.state, f"{worker.since:%m-%d %H:%M}",
            *(f"{count:,}" for count in counts),
        )  # fmt: skip
    console.print(table)
