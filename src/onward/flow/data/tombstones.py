"""Tombstones: what stands for erased subjects, so that no source brings them back.

They are read from the ledger, which has a keyed hash of whom an erasure was about, and no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from onward.core.events import Recorded
from onward.core.ports import Ledger
from onward.stages.ingest.config import Source

BEGUN: Final = "erasure.begun"
ERASED: Final = "subject.erased"
READMITTED: Final = "subject.readmitted"

Tombstone = tuple[str, str]  # a column, and the hash of a value in it


def standing(ledger: Ledger) -> set[Tombstone]:
    """Return the tombstones that stand: of whom was erased, and not readmitted since.

    An erasure that was begun counts at once. One that ended without having found anything does not:
    whoever gets that name later was never asked about.
    """
    told = [t for kind in (BEGUN, ERASED, READMITTED) for t in ledger.events(kind=kind)]
    found: set[Tombstone] = set()
    set_by: dict[str, set[Tombstone]] = {}
    for one in sorted(told, key=lambda t: t.seq):
        kind, key = one.event.kind, one.event.key
        if kind == BEGUN:
            set_by[key] = _named(one, one.event.facts["columns"]) - found
            found |= set_by[key]
        elif kind == READMITTED:
            found -= _named(one, one.event.facts["columns"])
        elif not any(part["rows"] for part in one.event.facts["report"]["removed"]):
            found -= set_by.get(key, set())
    return found


def of_source(ledger: Ledger, source: Source) -> Mapping[str, frozenset[str]]:
    """Return the hashes of erased subjects by column, as `source` calls its columns now."""
    before = {old: new for new, old in source.renamed.items()}
    found: dict[str, set[str]] = {}
    for column, hashed in standing(ledger):
        for name in {column, before.get(column, column)}:
            found.setdefault(name, set()).add(hashed)
    return {name: frozenset(hashes) for name, hashes in found.items()}


def _named(told: Recorded, columns: list[str]) -> set[Tombstone]:
    return {(column, told.event.subject) for column in columns}
