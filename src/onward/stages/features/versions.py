"""A view's versions in the lake: a table for each, whose state says what it was made from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from onward.core.ports import Lake, Snapshot
from onward.core.records import Column, ViewPlan
from onward.stages.features import view as views
from onward.stages.features.config import FeatureView
from onward.stages.features.point_in_time import IN_ORDER

_TABLE: Final = re.compile(r"features\.(\w+)_v(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a feature table's snapshot says of itself.

    Parameters
    ----------
    snapshot
        The snapshot.
    code
        The view's digest.
    definition
        The digest of the view and its columns: the version's identity.
    inputs
        The refs of the snapshots that the view read.
    marked
        Whether the rows' marks hold: no backfill has put one out of order.
    known_by
        When the last of the rows is known.
    at
        When it was published: a view with a reach has no rows for later moments.
    """

    snapshot: Snapshot
    code: str
    definition: str
    inputs: str
    marked: bool
    known_by: datetime
    at: datetime


def published(lake: Lake, table: str, snapshot: int | None = None) -> Published | None:
    """Return what a feature table's newest snapshot, or the given one, says of itself."""
    found = lake.head(table)
    if found is not None and snapshot not in (None, found.id):
        found = next((s for s in lake.history(table) if s.id == snapshot), None)
    if found is None:
        return None
    said = found.state
    return Published(
        snapshot=found,
        code=said["view_code"],
        definition=said["view_definition"],
        inputs=said["view_inputs"],
        marked=said["view_marked"] == "true",
        known_by=datetime.fromisoformat(said["view_known_by"]),
        at=datetime.fromisoformat(said["view_at"]),
    )


def state(
    *,
    entity: tuple[str, ...],
    code: str,
    definition: str,
    inputs: str,
    marked: bool,
    known_by: datetime,
    at: datetime,
) -> Mapping[str, str]:
    """Return what a table is to say of itself, for `published` to read."""
    return {
        "view_entity": json.dumps(entity),
        "view_code": code,
        "view_definition": definition,
        "view_inputs": inputs,
        "view_marked": str(marked).lower(),
        "view_known_by": known_by.isoformat(),
        "view_at": at.isoformat(),
    }


def versions_of(view: str, lake: Lake) -> dict[int, Published]:
    """Return a view's published versions by number, the newest first."""
    pattern = re.compile(re.escape(f"features.{view}_v") + r"(\d+)")
    numbers = sorted(
        (int(match[1]) for table in lake.tables() if (match := pattern.fullmatch(table))),
        reverse=True,
    )
    found = ((number, published(lake, table_of(view, number))) for number in numbers)
    return {number: version for number, version in found if version is not None}


def current_version(view: FeatureView, lake: Lake) -> ViewPlan | None:
    """Return the version that is what the view declares, None where it is not published yet."""
    versions = versions_of(view.name, lake).items()
    number = next((n for n, version in versions if version.code == view.digest), None)
    if number is None:
        return None
    return views.plan(view, number, table_of(view.name, number), features_of(view, lake, number))


def all_versions(lake: Lake) -> Iterator[ViewPlan]:
    """Yield every view's every version that the lake has, of views that were once declared, too.

    They are plans to find rows by: without features, and without what is done about missing ones.
    """
    for table in lake.tables():
        match = _TABLE.fullmatch(table)
        head = lake.head(table) if match else None
        if match and head is not None:
            yield ViewPlan(
                name=match[1],
                version=int(match[2]),
                table=table,
                entity=tuple(json.loads(head.state["view_entity"])),
                columns=(),
            )


def features_of(view: FeatureView, lake: Lake, number: int) -> tuple[Column, ...]:
    """Return the features of a version that the lake has."""
    schema = lake.schema(table_of(view.name, number))
    assert schema is not None
    return views.stored(view, schema)[1]


def columns_of(view: str, lake: Lake, number: int) -> tuple[Column, ...]:
    """Return the columns of a version, its entity's and its features', whatever is declared now."""
    schema = lake.schema(table_of(view, number))
    assert schema is not None
    own = (*views.TIMES, IN_ORDER)
    return tuple(Column(name=f.name, dtype=str(f.type)) for f in schema if f.name not in own)


def table_of(view: str, number: int) -> str:
    """Return the name of a version's table."""
    return f"features.{view}_v{number}"
