"""Lineage of anything: a ref by the ledger, a prediction by its log record and the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from onward.core.ports import Ledger
from onward.core.records import Prediction
from onward.core.refs import parse_ref, ref
from onward.watch.lineage.graph import Edge, Graph, Node
from onward.watch.lineage.prediction import PredictionLineage, describe
from onward.watch.lineage.trace import trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a ref came from; for a prediction also the answer in one record."""

    ref: str
    graph: Graph
    prediction: PredictionLineage | None = None

    def parents(self, ref: str) -> Sequence[str]:
        """Return the refs that went into `ref`, newest data first."""
        return [edge.source for edge in self.graph.edges if edge.target == ref][::-1]

    def summary(self) -> Iterator[tuple[str, str]]:
        """Yield what a person asks first: a name and a sentence each."""
        found = self.prediction
        if found is None:
            node = self.graph.node(self.ref)
            if node is not None and node.at is not None:
                yield "made by", f"{node.made_by} at {node.at:%Y-%m-%d %H:%M:%S}"
            if node is not None and node.run is not None:
                yield "run", node.run
            return
        yield "prediction", found.prediction
        yield "answered", f"{found.at:%Y-%m-%d %H:%M:%S} by the {found.arm}"
        yield "model", found.model
        for metric in found.metrics[:2]:
            yield metric.name, f"{metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]"
        yield "commit", found.commit or "none: the project is not under git"
        yield "training set", found.training
        yield "features", ", ".join(found.features)
        yield "sources", ", ".join(found.sources)
        yield "image", found.image
        share = "" if found.percent is None else f", {found.percent:g} % of traffic"
        yield "release", f"{found.release}{share}"
        yield "approved by", found.approver or "nobody had to: every gate is automatic"
        yield "run", found.run or ""


def lineage(ledger: Ledger, find: Callable[[str], Prediction], text: str) -> Lineage:
    """Trace a ref, or a prediction by its bare id, which `find` finds.

    Raises
    ------
    NotFoundError
        The ledger names no such ref, or there is no such prediction.
    """
    wanted = parse_ref(text if ":" in text else ref("prediction", text))
    if wanted.kind != "prediction":
        return Lineage(ref=str(wanted), graph=trace(str(wanted), ledger=ledger))
    logged = find(wanted.name)
    described = describe(logged, ledger=ledger)
    return Lineage(
        ref=logged.ref, graph=_with(logged, described.model, ledger), prediction=described
    )


def _with(logged: Prediction, model: str, ledger: Ledger) -> Graph:
    """Return the model's graph with the prediction in front of it."""
    behind = trace(model, ledger=ledger)
    edges = [Edge(source, logged.ref, "prediction.logged") for source in (model, logged.release)]
    node = Node(ref=logged.ref, kind="prediction", made_by="prediction.logged", at=logged.at)
    return Graph(root=logged.ref, nodes=(node, *behind.nodes), edges=(*edges, *behind.edges))
