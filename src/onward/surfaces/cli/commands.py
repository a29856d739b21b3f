"""The commands. Each opens the project, asks one thing of it, and shows the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onward.surfaces.cli import (
    access,
    audit,
    cancel,
    catalog,
    check,
    data,
    deploy,
    diff,
    erase,
    features,
    feedback,
    gateway,
    image,
    importing,
    ingest,
    lake,
    monitors,
    openlineage,
    predictions,
    profile,
    quarantine,
    release,
    score,
    secrets,
    settings,
    tests,
    transform,
)
from onward.surfaces.cli.options import HERE, Folder, Json

cli = typer.Typer(
    name="onward",
    help="Deliver machine-learning models continuously.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from onward import __version__

        typer.echo(__version__)
        raise typer.Exit


@cli.callback()
def onward(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Deliver machine-learning models continuously."""


@cli.command(epilog="Example: onward init shop && cd shop && onward run")
def init(
    name: Annotated[str, typer.Argument(help="The new project's folder.")],
    template: Annotated[
        str, typer.Option(help="What to begin with: starter or flights.")
    ] = "starter",
    as_json: Json = False,
) -> None:
    """Write a working project with sample data and tests."""
    from onward.app.init import create_project
    from onward.surfaces.cli.show import show_created

    target = Path(name)
    show_created(target, create_project(target, target.name, template), as_json=as_json)


@cli.command(epilog="Example: onward run --force")
def run(
    project: Folder = HERE,
    force: Annotated[bool, typer.Option(help="Train even if nothing changed.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Only finish a run that was cut short.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Go once round: from new data to a released model."""
    from onward.surfaces.cli.run import run_once

    raise typer.Exit(run_once(project, force=force, resume=resume, as_json=as_json))


@cli.command(epilog="Example: onward up --port 8080")
def up(
    project: Folder = HERE,
    host: Annotated[str | None, typer.Option(help="The gateway's address.")] = None,
    port: Annotated[int | None, typer.Option(help="The gateway's port; 0 for a free one.")] = None,
) -> None:
    """Keep it going: gateway, triggers, monitors, releases."""
    from onward.surfaces.cli.run import keep_up

    keep_up(project, host=host, port=port)


@cli.command(epilog="Example: onward status --json")
def status(project: Folder = HERE, as_json: Json = False) -> None:
    """Show how the project stands."""
    from onward.app.project import open_project
    from onward.surfaces.cli.show import show_status

    with open_project(project) as opened:
        show_status(opened.status(), as_json=as_json)


@cli.command(epilog='Example: onward predict \'{"order_id": "o-1", "basket": 3}\'')
def predict(
    rows: Annotated[
        str | None, typer.Argument(help="A row, or a list of rows, as JSON; - reads stdin.")
    ] = None,
    sample: Annotated[
        int,
        typer.Option(help="Without rows: so many that the model was evaluated on.", min=1),
    ] = 1,
    body: Annotated[
        bool, typer.Option("--body", help="Ask nobody: print the request's body, for curl.")
    ] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Predict rows through the gateway."""
    from onward.surfaces.cli.predict import predict_rows

    predict_rows(project, rows, sample=sample, body=body, as_json=as_json)


@cli.command(epilog="Example: onward lineage model:flight_delay@2")
def lineage(
    ref: Annotated[str, typer.Argument(help="A ref (kind:name@version), or a prediction's id.")],
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Trace anything back to its code, data and release."""
    from onward.app.project import open_project
    from onward.surfaces.cli.show import show_lineage

    with open_project(project) as opened:
        show_lineage(opened.lineage(ref), as_json=as_json)


@cli.command(epilog="Example: onward rollback --reason 'support calls'")
def rollback(
    project: Folder = HERE,
    reason: Annotated[str, typer.Option(help="Why; it goes into the ledger.")] = "asked for",
    as_json: Json = False,
) -> None:
    """Take the candidate, or the champion, out of traffic."""
    from onward.app.project import open_project
    from onward.surfaces.cli.show import show_rollback

    with open_project(project) as opened:
        show_rollback(opened.rollback(reason), as_json=as_json)


@cli.command(epilog="Example: onward runs --limit 5")
def runs(
    run_id: Annotated[str | None, typer.Argument(help="One run, with all it did.")] = None,
    project: Folder = HERE,
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List runs, or show one with all that it did."""
    from onward.app.project import open_project
    from onward.surfaces.cli.show import show_run, show_runs

    with open_project(project) as opened:
        if run_id:
            show_run(opened.run_detail(run_id), as_json=as_json)
        else:
            show_runs(opened.runs(limit=limit), as_json=as_json)


@cli.command(epilog="Example: onward models --json")
def models(project: Folder = HERE, as_json: Json = False) -> None:
    """List the registered versions."""
    from onward.app.project import open_project
    from onward.surfaces.cli.show import show_models

    with open_project(project) as opened:
        show_models(opened.models(), as_json=as_json)


@cli.command(epilog="Example: onward experiment --trials 30")
def experiment(
    project: Folder = HERE,
    trials: Annotated[int, typer.Option(help="How many parameter sets to try.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Search hyperparameters for the runs to come."""
    from onward.surfaces.cli.run import run_experiment

    raise typer.Exit(run_experiment(project, trials=trials, as_json=as_json))


@cli.command(epilog="Example: onward demo --folder demo --until 2013-06-30")
def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo's project goes.")] = Path("demo"),
    until: Annotated[
        str, typer.Option(help="The last day to replay (the data ends with 2013).")
    ] = "2013-12-31",
    as_json: Json = False,
) -> None:
    """Run the whole loop on a year of real flights."""
    from onward.surfaces.cli.demo import run_demo

    run_demo(folder, until=until, as_json=as_json)


quarantine.register(cli)
score.register(cli)
ingest.register(cli)
lake.register(cli)
profile.register(cli)
check.register(cli)
diff.register(cli)
data.register(cli)
transform.register(cli)
catalog.register(cli)
importing.register(cli)
features.register(cli)
openlineage.register(cli)
predictions.register(cli)
tests.register(cli)
erase.register(cli)
feedback.register(cli)
access.register(cli)
audit.register(cli)
secrets.register(cli)
settings.register(cli)
cancel.register(cli)
image.register(cli)
gateway.register(cli)
release.register(cli)
monitors.register(cli)
deploy.register(cli)
