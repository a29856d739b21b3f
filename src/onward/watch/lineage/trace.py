"""Walking the ledger's edges, breadth first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from onward.core.errors import NotFoundError, unknown_name
from onward.core.events import Event, Recorded
from onward.core.ports import Ledger
from onward.core.refs import parse_ref
from onward.watch.lineage.graph import Edge, Graph, Node

_NEAREST = 1_000


def trace(ref: str, *, ledger: Ledger, depth: int | None = None) -> Graph:
    """Return what `ref` was made from, and from what that was made, up to `depth` events away.

    Raises
    ------
    NotFoundError
        The text is no ref, or no event names it.
    """

    return upstream(ref, lambda event: event.inputs, ledger=ledger, depth=depth)


def upstream(
    ref: str,
    inputs: Callable[[Event], Sequence[str]],
    *,
    ledger: Ledger,
    depth: int | None = None,
) -> Graph:
    """Trace `ref`, following only those `inputs` of each event that the caller asks for."""

    def earlier(name: str, before: int | None) -> Sequence[Recorded]:
        return ledger.producing(name, before=before, last=1)

    return _walk(ref, ledger, depth, earlier, inputs, back=True)


def downstream(ref: str, *, ledger: Ledger, depth: int | None = None) -> Graph:
    """Return what was made from `ref`, and what from that, up to `depth` events away.

    Raises
    ------
    NotFoundError
        The text is no ref, or no event names it.
    """

    def later(name: str, after: int | None) -> Sequence[Recorded]:
        return [t for t in ledger.consuming(name) if after is None or t.seq > after]

    return _walk(ref, ledger, depth, later, lambda event: event.outputs, back=False)


def known(ref: str, ledger: Ledger) -> str:
    """Return `ref` if some event names it.

    Raises
    ------
    NotFoundError
        The text is no ref, or no event names it.
    """
    parsed = parse_ref(ref)
    if ref in ledger.refs(ref, limit=1):
        return ref
    others = ledger.refs(f"{parsed.kind}:", limit=_NEAREST)
    _, expected = unknown_name(parsed.kind, ref, others)
    raise NotFoundError(
        f"the ledger knows no {ref}",
        expected=expected,
        next_step=None if others else "`onward run` makes what can be traced",
    )


def _walk(
    root: str,
    ledger: Ledger,
    depth: int | None,
    follow: Callable[[str, int | None], Sequence[Recorded]],
    ends: Callable[[Event], Sequence[str]],
    *,
    back: bool,
) -> Graph:
    known(root, ledger)
    nodes: dict[str, Node] = {}
    edges: set[Edge] = set()
    followed: set[tuple[str, int]] = set()
    waiting: deque[tuple[str, int | None, int]] = deque([(root, None, 0)])
    while waiting:
        name, bound, distance = waiting.popleft()
        events = follow(name, bound)
        made = events if back else ledger.producing(name, last=1)
        if name not in nodes:
            nodes[name] = _node(name, made[-1] if made else None)
        if depth is not None and distance >= depth:
            continue
        for told in events:
            if (name, told.seq) in followed:
                continue
            followed.add((name, told.seq))
            for end in dict.fromkeys(ends(told.event)):
                source, target = (end, name) if back else (name, end)
                edges.add(Edge(source, target, told.event.kind))
                waiting.append((end, told.seq, distance + 1))
    return Graph(root=root, nodes=tuple(nodes.values()), edges=tuple(sorted(edges)))


def _node(ref: str, made: Recorded | None) -> Node:
    kind = ref.partition(":")[0]
    if made is None:
        return Node(ref=ref, kind=kind)
    event = made.event
    return Node(
        ref=ref, kind=kind, made_by=event.kind, at=event.at, run=event.run, facts=event.facts
    )
