"""A batch opened for its audit, beside what its checks read, with the columns that some need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from onward.core.declarations import Check
from onward.core.errors import DataError
from onward.core.records import ROW, UNREADABLE, Baseline, Batch, DatasetRef

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

BATCH: Final = "batch"
PUBLISHED: Final = "published"
"""What the table holds that the batch will be added or merged to; there only if there is any."""

_WHOLE: Final = "published_whole"  # with the partitions that the batch will replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The batch as the rules see it.

    `table` has the columns of the batch, `ROW`, and, for each check on keys or in Python by
    row, `holds(name)`: whether it holds for the row. `answers` are those of the checks in Python
    that gave one for the whole batch, by their name.
    """

    connection: Backend
    table: ir.Table
    batch: Batch
    baseline: Baseline
    answers: Mapping[str, bool] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are published."""
        return published(self.table.columns)

    @property
    def relation(self) -> str:
        """The name of `table` in the connection."""
        name: str = self.table.get_name()
        return name

    @property
    def before(self) -> ir.Table | None:
        """The published rows that the batch will be added to or merged into, if any."""
        there = PUBLISHED in self.connection.list_tables()
        return self.connection.table(PUBLISHED) if there else None

    def beside(self, dataset: str) -> ir.Table:
        """Return another dataset, as the baseline has it."""
        return self.connection.table(beside(dataset))


def datasets(
    batch: Batch, checks: Sequence[Check], baseline: Baseline
) -> dict[str, DatasetRef | Batch]:
    """Return what an audit opens, by the name that it has in the connection.

    Raises
    ------
    DataError
        A check reads a dataset of which nothing is published.
    """
    found: dict[str, DatasetRef | Batch] = {BATCH: batch}
    if batch.mode != "replace" and batch.base is not None:
        name = PUBLISHED if batch.partitions is None else _WHOLE
        found[name] = DatasetRef(table=batch.table, snapshot=batch.base, rows=0)
    for check in checks:
        for name in check.reads:
            if name == batch.dataset:
                continue
            if name not in baseline.datasets:
                raise DataError(
                    f"check {check.name!r} reads {name!r}, of which nothing is published yet",
                    expected=f"rows of {name!r} to hold {batch.dataset!r} against",
                    next_step=f"publish {name!r} first, with `onward run`",
                    location=check.location,
                )
            found[beside(name)] = baseline.datasets[name]
    return found


def leave_out(connection: Backend, batch: Batch) -> None:
    """Take the partitions that a batch will replace out of what is published."""
    if batch.partitions is None or _WHOLE not in connection.list_tables():
        return
    main = connection.table(_WHOLE)
    column, values = main[batch.partitions.column], batch.partitions.values
    replaced = column.isin([v for v in values if v is not None]).fill_null(False)
    if None in values:
        replaced |= column.isnull()
    connection.create_view(PUBLISHED, main.filter(~replaced))


def beside(dataset: str) -> str:
    """Return the name in the connection of another dataset."""
    return f"beside_{dataset}"


def holds(check: str) -> str:
    """Return the column that says whether a check holds for the row."""
    return f"_holds_{check}"


def published(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are the table's own."""
    own = (n for n in columns if n not in (UNREADABLE, ROW))
    return tuple(n for n in own if not n.startswith("_holds_"))
