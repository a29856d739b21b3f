"""Digests of what makes a derived table what it is: its query or function, and its checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onward.core import fingerprint
from onward.core.declarations import Check
from onward.stages.transform.config import ByPartition, Incremental, Transform
from onward.stages.transform.query import read_query


def code_of(transform: Transform, folder: Path) -> str:
    """Return a digest of a function's or a SQL file's code and of the checks.

    Raises
    ------
    DeclarationError
        The SQL file cannot be read.
    """
    if transform.function is not None:
        body = fingerprint.of_function(transform.function)
    else:
        body = read_query(transform, folder).code
    parts = (body, transform.engine, _rule(transform.incremental))
    return fingerprint.of_text(*parts, *checks_of(transform.checks))


def checks_of(checks: Sequence[Check]) -> list[tuple[str, ...]]:
    """Return what counts of the checks."""
    return [(c.name, str(c.scope), str(c.severity), c.version) for c in checks]


def _rule(incremental: Incremental | None) -> str:
    if isinstance(incremental, ByPartition):
        keys = {name: fingerprint.of_rule(key) for name, key in sorted(incremental.of.items())}
        return repr((incremental.column, keys))
    return repr(incremental)
