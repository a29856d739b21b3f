"""Selecting parts of the graph, in dbt's words: ``+name``, ``name+``, ``2+name``, ``tag:daily``.

Spaces join, commas intersect. A word is a name, a pattern (``stg_*``), ``tag:``, or one of the
kinds: ``source:orders``. A plus before it adds what it reads, one after it what reads it, however
far; a number beside the plus says how many steps.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from onward.core.errors import DeclarationError, NotFoundError, unknown_name
from onward.flow.pipeline.graph import Node

_WORD: Final = re.compile(r"(?:(?P<up>\d*)\+)?(?P<what>[^+\s,]+?)(?:\+(?P<down>\d*))?")


def select(nodes: Sequence[Node], texts: Iterable[str]) -> Sequence[Node]:
    """Return the nodes that the texts select, in the graph's order.

    Raises
    ------
    DeclarationError
        A text is no selection.
    NotFoundError
        A word in it stands for nothing.
    """
    chosen: set[str] = set()
    for union in " ".join(texts).split():
        parts = [_word(nodes, part) for part in union.split(",")]
        chosen |= set.intersection(*parts)
    return [node for node in nodes if node.id in chosen]


def _word(nodes: Sequence[Node], text: str) -> set[str]:
    found = _WORD.fullmatch(text)
    if found is None:
        raise DeclarationError(
            f"{text!r} selects nothing that can be read",
            expected="name, +name, name+, 2+name+1, tag:word, or a pattern such as stg_*",
        )
    centre = {node.id for node in nodes if _matches(node, found["what"])}
    if not centre:
        kind, _, tag = found["what"].rpartition(":")
        known = {t for n in nodes for t in n.tags} if kind == "tag" else {n.name for n in nodes}
        what, expected = unknown_name("tag" if kind == "tag" else "part of the graph", tag, known)
        raise NotFoundError(what, expected=expected, next_step="`onward graph` shows all of it")
    chosen = set(centre)
    if found["up"] is not None:
        chosen |= _reach(centre, {n.id: n.reads for n in nodes}, found["up"])
    if found["down"] is not None:
        readers: dict[str, list[str]] = {}
        for node in nodes:
            for read in node.reads:
                readers.setdefault(read, []).append(node.id)
        chosen |= _reach(centre, readers, found["down"])
    return chosen


def _matches(node: Node, what: str) -> bool:
    kind, _, pattern = what.rpartition(":")
    if kind == "tag":
        return any(fnmatchcase(tag, pattern) for tag in node.tags)
    return kind in ("", node.kind) and fnmatchcase(node.name, pattern)


def _reach(start: Collection[str], edges: Mapping[str, Iterable[str]], steps: str) -> set[str]:
    """Return what is at most so many steps from `start`; all that can be reached unless told."""
    reached: set[str] = set()
    frontier = set(start)
    left = int(steps) if steps else len(edges)
    while frontier and left:
        frontier = {n for at in frontier for n in edges.get(at, ())} - reached
        reached |= frontier
        left -= 1
    return reached
