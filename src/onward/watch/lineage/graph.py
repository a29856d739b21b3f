"""The lineage graph: refs, and the events that lead from one to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A ref with the event that made it; `made_by` is None for what came from outside."""

    ref: str
    kind: str
    made_by: str | None = None
    at: datetime | None = None
    run: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`source` went into the event `kind`, and `target` came out of it."""

    source: str
    target: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What a trace found: nodes in the order of discovery, the root first; edges sorted."""

    root: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def of_kind(self, kind: str) -> Sequence[Node]:
        """Return the nodes whose ref is of `kind` (``model``, ``snapshot``, …)."""
        return [node for node in self.nodes if node.kind == kind]

    def node(self, ref: str) -> Node | None:
        """Return the node of a ref, or None."""
        return next((node for node in self.nodes if node.ref == ref), None)
