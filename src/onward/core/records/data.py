"""Records of the data: batches, datasets, audits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from onward.core.refs import ref

UNREADABLE: Final = "_unreadable"
"""A column that a batch may have besides its table's: the text, as ``column=text; …``, of values
that could not be read as their column's type. Rows where it is not NULL are never published.
"""


Mode = Literal["append", "replace", "upsert", "partitions"]
"""What publishing does: add the rows, make them the table, replace rows with the same key, or
replace whole partitions.
"""


ROW: Final = "_row"
"""A column of an opened batch, if asked for: the row's number in the order of staging, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of a batch that came from one place, a file say, one after the other."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRef:
    """A published table as of one snapshot: what readers may read."""

    table: str
    snapshot: int
    rows: int

    @property
    def ref(self) -> str:
        return ref("snapshot", self.table, self.snapshot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """The rows that a table gained after one snapshot, up to another.

    `after` is None for all rows up to `upto`.
    """

    table: str
    after: int | None
    upto: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """The rows of a table whose `column` has one of `values`; None stands for NULL."""

    column: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution:
    """How a table's columns change with a commit, beyond those that come.

    `renamed` gives old names by new ones; a column keeps its values. The columns `retyped` (by
    their new names) take the type that they have in the rows; what is stored is cast to it.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    retyped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows on an audit branch, not yet seen by any reader.

    `mode` says what publishing does; an ``upsert`` goes by the columns `key`, and of two rows with
    one key keeps the one with the greater `order`; ``partitions`` replaces what main has in
    `partitions`. On the branch are all rows that came.
    `summary` goes into the published snapshot, and so do the changes of the table's `state` (the
    cursor is in it, so that rows and cursor commit as one). `base` is main's snapshot when the
    branch was cut, None for a new table. `behind` is how many rows are known to wait at the source
    behind these, None where it does not say. `evolution` is how the table's columns change.
    `parts` are the places that the rows came from, in the order of the rows; empty where there is
    none that could be named. `left_out` counts rows that came and are not among these, because they
    are about somebody who was erased.
    """

    dataset: str
    table: str
    branch: str
    run: str
    mode: Mode
    rows: int
    base: int | None
    snapshot: int
    summary: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    order: str | None = None
    parts: tuple[Part, ...] = ()
    behind: int | None = None
    partitions: Partitions | None = None
    evolution: Evolution | None = None
    left_out: int = 0

    @property
    def ref(self) -> str:
        return ref("batch", self.table, self.run)
