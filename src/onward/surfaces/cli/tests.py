"""`onward test`: the project's own tests."""

from __future__ import annotations

from typing import Annotated

import typer

from onward.surfaces.cli.options import HERE, Folder, Json


def register(cli: typer.Typer) -> None:
    """Add this file's command."""
    cli.command("test", epilog="Example: onward test -- -k purchases -x")(run)


def run(
    words: Annotated[
        list[str] | None, typer.Argument(help="What pytest is told, after --.")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Run the project's tests with pytest, and exit by its result."""
    from onward.app.testing.run import run_tests
    from onward.surfaces.cli.show import put

    found = run_tests(project, words or (), quiet=as_json)
    put(found, as_json)
    raise typer.Exit(found.exit_code)
