"""What reads what, and building a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from onward.app.access import require
from onward.flow.graph import Node, graph
from onward.flow.runs import request
from onward.flow.select import select

if TYPE_CHECKING:
    from onward.app.project import Project
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
    chosen = tuple(n.name for n in nodes(project, selection) if n.kind == "transform")
    if not chosen:
        return None
    for name in chosen:
        require(project, "run", project.definition.table(name))
    with project.alone():
        project.resume()
        wish = request(project.site, "tables were asked for", train=False)
        return project.deliver(replace(wish, transforms=chosen, afresh=full_refresh))
