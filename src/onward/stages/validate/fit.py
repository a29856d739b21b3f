"""Whether checks fit a table's columns, told before any rows are there to be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from onward.core.declarations import Check
from onward.core.records import ROW, Baseline, Batch
from onward.stages.validate.opened import BATCH, Opened, beside
from onward.stages.validate.rules.bind import bind, require_distinct
from onward.stages.validate.rules.python import Python
from onward.stages.validate.rules.rule import require_columns

if TYPE_CHECKING:
    import pyarrow as pa

_NO_SNAPSHOT: Final = -1
_ANY_TIME: Final = datetime.fromtimestamp(0, UTC)


def require_fit(
    dataset: str,
    checks: Sequence[Check],
    columns: pa.Schema,
    *,
    others: Mapping[str, pa.Schema],
) -> None:
    """Refuse checks that could not judge rows of `dataset` with these columns.

    They are bound to a batch without rows. `others` are the columns of datasets that checks read;
    a check that reads one which is not among them is let be. Of a rule in Python only the columns
    that it names are looked at: the function wants rows.

    Raises
    ------
    DeclarationError
        As `bind`.
    """
    import ibis
    import pyarrow as pa

    require_distinct(checks)
    connection = ibis.duckdb.connect()
    try:
        empty = columns.append(pa.field(ROW, pa.int64())).empty_table()
        table = connection.create_table(BATCH, empty)
        for name, schema in others.items():
            connection.create_table(beside(name), schema.empty_table())
        readable = {dataset, *others}
        bound = [c for c in checks if readable.issuperset(c.reads)]
        for check in bound:
            if isinstance(check.rule, Python):
                require_columns(check.rule.columns or (), table, check)
        seen = Opened(
            connection=connection,
            table=table,
            batch=_no_rows(dataset),
            baseline=Baseline(at=_ANY_TIME),
        )
        bind([c for c in bound if not isinstance(c.rule, Python)], seen, ())
    finally:
        connection.disconnect()


def _no_rows(dataset: str) -> Batch:
    return Batch(
        dataset=dataset,
        table=dataset,
        branch="",
        run="",
        mode="append",
        rows=0,
        base=None,
        snapshot=_NO_SNAPSHOT,
    )
