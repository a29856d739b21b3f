"""The rows of a replay: those that wait, in the columns that their table has today."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.core.ports import Lake
from onward.core.records import ROW, UNREADABLE, Selection
from onward.stages.validate.opened import BATCH
from onward.stages.validate.quarantine import mending
from onward.stages.validate.quarantine.mending import CHANGED
from onward.stages.validate.quarantine.selection import choose
from onward.stages.validate.quarantine.table import ID, OWN, waiting

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

QUARANTINE: Final = "quarantine"


def to_judge(
    connection: Backend,
    table: str,
    lake: Lake,
    selection: Selection,
    mended: Path | None,
    masked: Collection[str],
) -> tuple[ir.Table, int]:
    """Return the chosen rows that wait, as the table `BATCH`, with mended values laid over.

    Beside the table's columns they have those of the quarantine and `CHANGED`. The number is how
    many of the mended rows were released before.
    """
    import ibis

    published = lake.schema(table)
    assert published is not None
    held, connected = connection.table(QUARANTINE), connection.con
    rows = _as_published(waiting(held).semi_join(choose(held, selection), ID), published)
    connection.create_table(
        BATCH,
        rows.mutate(**{CHANGED: ibis.literal([], "array<string>"), ROW: ibis.row_number() + 1}),
        temp=True,
    )
    earlier = 0
    if mended is not None:
        ids = mending.read(connected, mended)
        earlier = mending.released_before(connected, ids, QUARANTINE, mended)
        described = connected.execute(f"DESCRIBE {BATCH}").fetchall()
        types = {name: kind for name, kind, *_ in described if name in published.names}
        mending.lay_over(connected, BATCH, types, mended, masked)
    return connection.table(BATCH), earlier


def _as_published(rows: ir.Table, published: pa.Schema) -> ir.Table:
    """Return the rows in the columns that the table has now; what does not fit is unreadable.

    A quarantine keeps columns that its table lost, and a column that changed its type beside the
    new one (``amount__string``).
    """
    import ibis

    columns: dict[str, ir.Value] = {}
    misfits: list[ir.Value] = []
    for name, kind in ibis.schema(published).items():
        forms = [rows[c] for c in rows.columns if c == name or c.startswith(f"{name}__")]
        if [form.type() for form in forms] == [kind]:
            columns[name] = forms[0]
            continue
        value = ibis.coalesce(*(f.try_cast(kind) for f in forms)) if forms else ibis.null(kind)
        columns[name] = value
        misfits += [
            (form.notnull() & value.isnull()).ifelse(
                ibis.literal(f"{name}=") + form.cast("string"), ibis.null("string")
            )
            for form in forms
        ]
    unreadable = ibis.coalesce(rows[UNREADABLE], *misfits) if misfits else rows[UNREADABLE]
    own = {name: rows[name] for name in OWN}
    return rows.select(**columns, **{**own, UNREADABLE: unreadable})
