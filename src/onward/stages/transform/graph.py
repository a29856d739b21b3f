"""The order in which transforms are built."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter

from onward.core.errors import DeclarationError, unknown_name
from onward.stages.transform.config import Transform


def order(transforms: Sequence[Transform], *, sources: Iterable[str]) -> tuple[Transform, ...]:
    """Return the transforms so that each comes after all that it reads.

    The models of one dbt project, given in an order of their own, stay together: dbt builds them
    in one go.

    Raises
    ------
    DeclarationError
        Two datasets share a name, a transform reads what is not declared, or they form a circle.
    """
    known = set(sources)
    named: dict[str, Transform] = {}
    for transform in transforms:
        if transform.name in known or transform.name in named:
            raise DeclarationError(
                f"two datasets have the name {transform.name!r}",
                expected="a name of its own for each source and transform",
                location=transform.location,
            )
        named[transform.name] = transform
    for transform in transforms:
        require_known(transform, known | named.keys())
    members: dict[str, list[Transform]] = {}
    for transform in transforms:
        members.setdefault(_unit(transform), []).append(transform)
    reads = {
        unit: {_unit(named[name]) for t in inside for name in _reads(t) if name in named}
        - ({unit} if inside[0].dbt else set())
        for unit, inside in members.items()
    }
    try:
        return tuple(t for unit in TopologicalSorter(reads).static_order() for t in members[unit])
    except CycleError as error:
        cycle = error.args[1][::-1]
        raise DeclarationError(
            f"transforms read each other in a circle: {' reads '.join(cycle)}",
            expected="transforms that lead from sources onward",
            location=members[cycle[0]][0].location,
        ) from None


def _reads(transform: Transform) -> set[str]:
    """Return what must be up to date first: what it is derived from, and what its checks read."""
    beside = {name for check in transform.checks for name in check.reads}
    return {*transform.inputs, *(beside - {transform.name})}


def _unit(transform: Transform) -> str:
    return f"dbt {transform.dbt.name}" if transform.dbt else transform.name


def require_known(transform: Transform, known: Iterable[str]) -> None:
    """Refuse a transform that reads what nothing declares.

    Raises
    ------
    DeclarationError
        A name among its inputs is not in `known`, or is its own.
    """
    datasets = set(known) - {transform.name}
    for name in transform.inputs:
        if name not in datasets:
            what, expected = unknown_name("dataset", name, datasets)
            raise DeclarationError(
                f"transform {transform.name!r}: {what}",
                expected=expected,
                location=transform.location,
            )
