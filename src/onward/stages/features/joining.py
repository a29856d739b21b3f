"""Views of the lake joined to rows: the join of `point_in_time` on versions' tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onward.core.errors import DataError, NotFoundError
from onward.core.ports import Lake
from onward.core.records import DatasetRef, ViewPlan
from onward.stages.features import point_in_time
from onward.stages.features.point_in_time import Joined
from onward.stages.features.versions import Published, published

if TYPE_CHECKING:
    import pyarrow as pa


def snapshot(lake: Lake, view: ViewPlan, number: int | None) -> Published:
    """Return what a version's newest snapshot, or the given one, says of itself.

    Raises
    ------
    NotFoundError
        It is not in the lake.
    """
    found = published(lake, view.table, number)
    if found is None:
        at = "" if number is None else f" as of snapshot {number}"
        raise NotFoundError(
            f"{view.ref} is not in the lake{at}",
            next_step="publish it again with `onward run`",
        )
    return found


def relations(found: Sequence[Published]) -> dict[str, DatasetRef]:
    """Return the snapshots to open in the lake, as `joined` names them."""
    return {
        f"_view_{i}": DatasetRef(table=s.table, snapshot=s.id, rows=s.rows)
        for i, s in enumerate(version.snapshot for version in found)
    }


def joined(
    lake: Lake,
    connection: Any,
    rows: pa.Table,
    views: Sequence[ViewPlan],
    found: Sequence[Published],
) -> pa.Table:
    """Join the views that stand on the connection as `relations` names them.

    Raises
    ------
    DataError
        An entity's column has another type in the rows than in a view.
    """
    for view in views:
        schema = lake.schema(view.table)
        assert schema is not None, "its snapshot was found"
        for name in view.entity:
            kept, sent = str(schema.field(name).type), str(rows[name].type)
            if (kept == "string") != (sent == "string"):
                raise DataError(
                    f"{name!r} is {sent} in the label's rows and {kept} in {view.ref}",
                    expected="one type for an entity, wherever it stands",
                    next_step=f"cast it in one of them, for instance _.{name}.cast('string')",
                )
    chosen = [
        Joined(view=view, relation=f"_view_{i}", marked=version.marked)
        for i, (view, version) in enumerate(zip(views, found, strict=True))
    ]
    return point_in_time.join(connection, rows, chosen)
