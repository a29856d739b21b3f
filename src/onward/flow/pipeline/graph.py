"""What reads what: every declaration as a node, from sources to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from onward.flow.pipeline.definition import Definition
from onward.stages.features.on_demand import OnDemand, views_of

Kind = Literal["source", "transform", "view", "on-demand", "label", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A declaration. `reads` holds the ids (``kind:name``) of what it is made from."""

    kind: Kind
    name: str
    reads: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    table: str | None = None

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.name}"


def graph(definition: Definition) -> Sequence[Node]:
    """Return the pipeline's nodes, each after all that it reads."""
    transforms = {t.name for t in definition.transforms}

    def datasets(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{'transform' if n in transforms else 'source'}:{n}" for n in names)

    model = definition.pipeline.model
    nodes = [
        Node(kind="source", name=source.name, table=source.table)
        for source in definition.sources.values()
    ]
    nodes += [
        Node(kind="transform", name=t.name, reads=datasets(t.inputs), tags=t.tags, table=t.table)
        for t in definition.transforms
    ]
    functions = [f for f in model.features if isinstance(f, OnDemand)]
    features = [
        *(
            Node(kind="view", name=v.name, reads=datasets(v.inputs))
            for v in views_of(model.features)
        ),
        *(
            Node(kind="on-demand", name=f.name, reads=tuple(f"view:{v.name}" for v in f.views))
            for f in functions
        ),
    ]
    label = Node(kind="label", name=model.label.name, reads=datasets(model.label.inputs))
    named = (f"{'on-demand' if f in functions else 'view'}:{f.name}" for f in model.features)
    reads = (*named, label.id)
    return (*nodes, *features, label, Node(kind="model", name=model.name, reads=reads))
