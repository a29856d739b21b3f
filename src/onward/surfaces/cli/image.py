"""`onward image`: what containers run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onward.core.wording import counted, size
from onward.surfaces.cli.options import HERE, Folder, Json, alone

if TYPE_CHECKING:
    from onward.app.images import ImageInfo
    from onward.flow.keeping.images import PrunedImages

_cli = typer.Typer(help="Images: what containers run.", invoke_without_command=True)

Reference = Annotated[str, typer.Argument(help="model:version, or a digest.")]


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(_cli, name="image")


@_cli.callback()
def every(context: typer.Context, project: Folder = HERE, as_json: Json = False) -> None:
    """Images: what containers run."""
    if alone(context, project, as_json):
        list_images(project, as_json)


@_cli.command("list", epilog="Example: onward image list")
def list_images(project: Folder = HERE, as_json: Json = False) -> None:
    """List the images."""
    from onward.app.images import images
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        found = images(opened)
    if not put(found, as_json):
        _list(found)


@_cli.command(epilog="Example: onward image show order_return:1")
def show(
    image: Reference,
    sbom: Annotated[bool, typer.Option("--sbom", help="Print the bill of materials.")] = False,
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Print how it was made.")
    ] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Show an image's layers, and what is attached to it."""
    from onward.app.images import attached
    from onward.app.images import image as ask
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        if sbom or provenance:
            wanted = "cyclonedx" if sbom else ("in-toto", "dsse")
            found = attached(opened, image)
            put([v for kind, v in found.items() if any(w in kind for w in _each(wanted))], True)
            return
        info = ask(opened, image)
    if not put(info, as_json):
        _show(info)


@_cli.command(epilog="Example: onward image build --version 3")
def build(
    version: Annotated[
        int | None, typer.Option(help="Which version.", show_default="the newest")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Instead of [deploy] base: host/name@sha256:…, oci:FOLDER:TAG, root:PATH."
        ),
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Build the whole image of a registered version."""
    from onward.app.images import build as make
    from onward.app.images import image
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project, flags={"deploy.base": base} if base else None) as opened:
        info = image(opened, make(opened, version).digest)
    if not put(info, as_json):
        _show(info)


@_cli.command(epilog="Example: onward image prune --keep 3 --dry-run")
def prune(
    keep: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="How many of the newest versions stay that nothing names.",
            show_default="[deploy] keep_images in onward.toml, 10",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Remove images that nothing names any more."""
    from onward.app.images import prune as remove
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        found = remove(opened, newest=keep, dry_run=dry_run)
    if not put(found, as_json):
        _pruned(found, dry_run)


@_cli.command(epilog="Example: onward image push order_return:3")
def push(
    image: Reference,
    to: Annotated[
        str | None, typer.Option(help="host/name:tag.", show_default="[deploy] registry")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Push an image to a registry, with what is attached to it."""
    from onward.app.project import open_project
    from onward.app.registry import push as send
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        target, pushed = send(opened, image, to)
    found = {"reference": str(target), "digest": pushed.digest, "sent": pushed.sent,
             "mounted": pushed.mounted, "there": pushed.there}  # fmt: skip
    if not put(found, as_json):
        console.print(f"[bold]{plain(str(target))}[/]@{pushed.digest}", soft_wrap=True)
        console.print(
            f"{pushed.sent} blobs sent, {pushed.mounted} shared, {pushed.there} there already"
        )


@_cli.command(epilog="Example: onward image pull registry.local:5000/team/order_return:3")
def pull(
    reference: Annotated[str, typer.Argument(help="host/name:tag or host/name@sha256:….")],
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Pull an image from a registry, with what is attached to it."""
    from onward.app.images import image
    from onward.app.project import open_project
    from onward.app.registry import pull as fetch
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        info = image(opened, fetch(opened, reference))
    if not put(info, as_json):
        _show(info)


@_cli.command(epilog="Example: onward image dockerfile order_return:3 --out docker")
def dockerfile(
    image: Reference,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("docker"),
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Write a Dockerfile, and the context that it builds from."""
    from onward.app.images import dockerfile as write
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        file = write(opened, image, out)
    if not put({"dockerfile": str(file)}, as_json):
        console.print(f"wrote {plain(str(file))}; next: docker build {plain(str(file.parent))}")


@_cli.command(epilog='Example: onward image verify order_return:1 --key "$(cat shop.pub)"')
def verify(
    image: Reference,
    key: Annotated[
        str | None, typer.Option(help="The public key.", show_default="the project's own")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Check an image, what is attached to it, and its signature."""
    from onward.app.images import verify as ask
    from onward.app.project import open_project
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        checks = ask(opened, image, key)
    if not put(checks, as_json):
        for each in checks:
            mark = "[green]✓[/]" if each.passed else "[red]✗[/]"
            console.print(f"{mark} {each.check}: {plain(each.reason)}")
    if not all(each.passed for each in checks):
        raise typer.Exit(6)


@_cli.command(epilog="Example: onward image key > shop.pub")
def key(
    new: Annotated[bool, typer.Option("--new", help="Make a key if there is none.")] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Print the public key by which others check signatures."""
    from onward.app.images import public_key
    from onward.app.project import open_project
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        text = public_key(opened, new=new)
    if not put({"public": text}, as_json):
        typer.echo(text)


def _each(wanted: str | Sequence[str]) -> Sequence[str]:
    return (wanted,) if isinstance(wanted, str) else wanted


def _list(found: Sequence[ImageInfo]) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain

    if not found:
        console.print("no images; `onward run` makes the first")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("image", "digest", "size", "holds"):
        table.add_column(column, justify="right" if column == "size" else "left")
    for each in found:
        holds = "whole" if each.whole else "the model alone"
        table.add_row(plain(each.name), each.digest[:19], size(each.size), holds)
    console.print(table)


def _show(info: ImageInfo) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain

    head = f"[bold]{plain(info.name)}[/]  {info.digest}  {size(info.size)}"
    console.print(head, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("layer", "size", "digest", "made by"):
        table.add_column(column, justify="right" if column == "size" else "left")
    for layer in info.layers:
        table.add_row(
            plain(layer.holds), size(layer.size), layer.digest[:19], plain(layer.created_by)
        )
    console.print(table)
    for kind, digest in info.attached.items():
        console.print(f"attached: {plain(kind)}  [dim]{digest[:19]}[/]")


def _pruned(found: PrunedImages, dry_run: bool) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console, plain

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("image", "digest", "", "because"):
        table.add_column(column)
    for one in found.verdicts:
        going = "[red]goes[/]" if one.because is None else "stays"
        table.add_row(plain(one.name), one.digest[:19], going, plain(one.because or ""))
    if found.verdicts:
        console.print(table)
    verb = "would go" if dry_run else "are gone"
    staged = f", and what {counted(len(found.staged), 'run')} staged" if found.staged else ""
    console.print(f"{counted(found.blobs, 'blob')} of {size(found.bytes)} {verb}{staged}")
    if found.young:
        console.print(f"[dim]{counted(found.young, 'blob')} more, younger than an hour, wait[/]")
