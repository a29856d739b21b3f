"""Records of the catalogue: what there is, for people and for other catalogues."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

CatalogKind = Literal["source", "transform", "view", "on-demand", "label", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogColumn:
    """A column as it is published. `classification` says what protects it, or whom it names."""

    name: str
    dtype: str
    classification: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One thing that a pipeline declares, and how it stands.

    Parameters
    ----------
    ref
        Its newest version (a snapshot, a feature view's version, a model's); None before the first.
    contract
        What its rows, or its versions, must hold: each check, gate or policy in words.
    published_at
        When the newest version was published; with `rows` for tables.
    newest
        The newest event time among the rows.
    reads, read_by
        Names of what it is made from, and of what is made from it.
    """

    kind: CatalogKind
    name: str
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    ref: str | None = None
    table: str | None = None
    columns: tuple[CatalogColumn, ...] = ()
    contract: tuple[str, ...] = ()
    rows: int | None = None
    published_at: datetime | None = None
    newest: datetime | None = None
    reads: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()
