"""`onward check`: whether the pipeline fits its data, and rules that the data itself suggests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from onward.core.wording import counted
from onward.surfaces.cli.options import HERE, Folder, Json, alone

if TYPE_CHECKING:
    from onward.app.check import Fit
    from onward.app.suggest import Suggested
    from onward.stages.validate.suggest import Suggestion

_WIDTH: Final = 100  # of a line of Python

_cli = typer.Typer(
    help="Whether the pipeline file fits its data; suggested rules.", invoke_without_command=True
)


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(_cli, name="check")


@_cli.callback(epilog="Example: onward check")
def fit(context: typer.Context, project: Folder = HERE, as_json: Json = False) -> None:
    """Whether the pipeline file fits its data; nothing is taken in or changed."""
    if not alone(context, project, as_json):
        return
    from onward.app.check import check
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        found = check(opened)
    if not put(found, as_json):
        _show_fit(found)


def _show_fit(found: Fit) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console

    known = {
        "published": "its published table",
        "origin": "the first rows at its origin",
        "no rows": "nothing: its origin has no rows yet",
    }
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("source")
    table.add_column("columns", justify="right")
    table.add_column("checks", justify="right")
    table.add_column("held against")
    for source in found.sources:
        columns = str(len(source.columns))
        table.add_row(source.name, columns, str(source.checks), known[source.seen])
    console.print(table)
    console.print(f"[bold green]the pipeline fits its data[/]; model [bold]{found.model}[/]")


@_cli.command(epilog="Example: onward check suggest orders")
def suggest(
    dataset: Annotated[str, typer.Argument(help="A source or transform.")],
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Propose checks, as lines to paste, each with its evidence."""
    from onward.app.project import open_project
    from onward.app.suggest import suggest as ask
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        found = ask(opened, dataset)
    if not put(found, as_json):
        _show(found)


def _show(found: Suggested) -> None:
    from onward.surfaces.cli.show import console, plain

    if not found.suggestions:
        console.print(f"nothing to suggest from {counted(found.rows, 'row')} of {found.table}")
    else:
        console.print(
            f"[dim]# from {counted(found.rows, 'row')} of {found.table}@{found.snapshot}[/]"
        )
        console.print("checks=[", markup=False)
        for one in found.suggestions:
            _show_suggestion(one)
        console.print("],", markup=False)
    if found.declared:
        console.print(f"[dim]# declared already: {plain(', '.join(found.declared))}[/]")


def _show_suggestion(one: Suggestion) -> None:
    """Print a check as it would stand in a pipeline file, in lines of its width."""
    from onward.surfaces.cli.show import console, plain

    if len(one.code) + len(one.evidence) + 9 <= _WIDTH:
        line = f"    [bold]{plain(one.code)}[/],  [dim]# {plain(one.evidence)}[/]"
        console.print(line, soft_wrap=True)
        return
    console.print(f"    [dim]# {plain(one.evidence)}[/]", soft_wrap=True)
    for line in laid_out(one.code, indent=4):
        console.print(f"[bold]{plain(line)}[/]", soft_wrap=True)


def laid_out(code: str, *, indent: int) -> list[str]:
    """Return an expression and a comma as lines that fit; too long a one has its parts below it.

    Only what nothing can be taken out of, a long text say, is left longer.
    """
    whole = f"{' ' * indent}{code},"
    parts = [] if len(whole) <= _WIDTH else _parts(code)
    if not parts:
        return [whole]
    begin, end = parts[0][0], parts[-1][1]
    below = [line for a, b in parts for line in laid_out(code[a:b], indent=indent + 4)]
    return [f"{' ' * indent}{code[:begin]}", *below, f"{' ' * indent}{code[end:]},"]


def _parts(code: str) -> list[tuple[int, int]]:
    """Return where a call's arguments, or a list's members, begin and end."""
    import ast

    try:
        node = ast.parse(code, mode="eval").body
    except SyntaxError:  # an argument with its name
        return []
    found: list[ast.expr | ast.keyword] = []
    if isinstance(node, ast.List):
        found = [*node.elts]
    if isinstance(node, ast.Call):
        found = [*node.args, *node.keywords]
    encoded = code.encode()
    return [
        (len(encoded[: n.col_offset].decode()), len(encoded[: n.end_col_offset].decode()))
        for n in found
    ]
