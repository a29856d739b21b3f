"""What reads what, and building a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from onward.app.access import require
from onward.flow.pipeline.graph import Node, graph
from onward.flow.pipeline.select import select
from onward.flow.run.runs import request

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.records import RunRequest
    from onward.flow.outcome import RunOutcome


def nodes(project: Project, selection: Sequence[str] = ()) -> Sequence[Node]:
    """Return the selected nodes of the pipeline's graph, all of them without a selection.

    Raises
    ------
    OnwardError
        The selection cannot be read, or names what is not there.
    """
    everything = graph(project.definition)
    return select(everything, selection) if selection else everything


def transform(
    project: Project, selection: Sequence[str] = (), *, full_refresh: bool = False
) -> RunOutcome | None:
    """Build the selected derived tables from what is published; None if none is selected.

    It is a run like any other: durable, audited, in the ledger; but nothing is ingested or
    trained. With `full_refresh` tables are built whole, whether or not something changed.

    Raises
    ------
    BusyError
        Another process runs this project.
    DeniedError
        The caller may not run one of them.
    OnwardError
        The selection cannot be read, or a table's input has never been published.
    """
    wish = asked_for(project, selection, full_refresh=full_refresh)
    return None if wish is None else carry_out(project, wish)


def asked_for(
    project: Project, selection: Sequence[str] = (), *, full_refresh: bool = False
) -> RunRequest | None:
    """Return the request that builds the selected tables; None if none is selected.

    Raises
    ------
    DeniedError
        The caller may not run one of them.
    OnwardError
        The selection cannot be read.
    """
    chosen = tuple(n.name for n in nodes(project, selection) if n.kind == "transform")
    if not chosen:
        return None
    for name in chosen:
        require(project, "run", project.definition.table(name))
    wish = request(project.site, "tables were asked for", train=False)
    return replace(wish, transforms=chosen, afresh=full_refresh)


def carry_out(project: Project, wish: RunRequest) -> RunOutcome:
    """Finish what was cut short, then do what is asked for."""
    with project.alone():
        project.resume()
        return project.deliver(wish)
