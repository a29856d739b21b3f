"""The tables that something was made from, each as of the snapshot that was read."""

from __future__ import annotations

from collections.abc import Sequence

from onward.core.events import Event
from onward.core.ports import Ledger
from onward.watch.lineage.graph import Graph
from onward.watch.lineage.trace import upstream


def made_from(ref: str, *, ledger: Ledger) -> Graph:
    """Trace `ref` to its tables, each only to the batch that it was last added to."""

    def inputs(event: Event) -> Sequence[str]:
        if event.kind != "batch.audited":
            return event.inputs
        return [name for name in event.inputs if not name.startswith("snapshot:")]

    return upstream(ref, inputs, ledger=ledger)
