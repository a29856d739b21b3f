"""What new rows touch: the part of a view to compute when the rest stays as it was published."""

# ruff: noqa: S608 (identifiers are quoted)
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from onward.core.ports import Lake
from onward.core.records import DatasetRef, Delta
from onward.core.refs import parse_ref
from onward.core.sql import identifier
from onward.stages.features.config import FeatureView
from onward.stages.features.sql import comma, same
from onward.stages.features.versions import Published, versions_of
from onward.stages.features.view import ViewRows
from onward.stages.features.windows import Reach

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_WHOLE: Final = "_whole"
_DELTA: Final = "_delta"
_TOUCHED: Final = "_touched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What may be new in a view since its version `number` was last published, at `before`.

    Of each entity that gained rows, what the view says from the first of them on may be new; of
    one whose rows left a window meanwhile, what it says past `before`. Nothing else is.
    """

    number: int
    view: FeatureView
    reach: Reach
    source: DatasetRef
    delta: Delta
    before: datetime
    now: datetime

    @property
    def datasets(self) -> Mapping[str, DatasetRef | Delta]:
        """What to open, in the source's place."""
        return {_WHOLE: self.source, _DELTA: self.delta}

    def narrow(self, backend: Backend, held: str) -> str:
        """Show the source as far as it matters, and return the relation that `held` becomes.

        Of the rows held, those of the moments touched matter, and those that became known later
        than one of these may: they could be out of order now.
        """
        entity, moment = self.view.entity, identifier(self.reach.event_time)
        present = " AND ".join(
            f"{identifier(c)} IS NOT NULL" for c in (*entity, self.reach.event_time)
        )
        span = self.reach.span // timedelta(microseconds=1)
        backend.raw_sql(
            f"CREATE TEMP TABLE {_TOUCHED} AS SELECT {comma(entity)}, min(_at) AS _since"
            f" FROM (SELECT {comma(entity)}, {moment} AS _at FROM {_DELTA} WHERE {present}"
            f" UNION ALL SELECT {comma(entity)}, ?::TIMESTAMPTZ + to_microseconds(1) FROM {_WHOLE}"
            f" WHERE {present} AND ({self._due(moment)})) GROUP BY {comma(entity)}",
            parameters=[self.before],
        )
        backend.raw_sql(
            f"CREATE TEMP VIEW {identifier(self.reach.source)} AS SELECT w.* FROM {_WHOLE} AS w"
            f" JOIN {_TOUCHED} AS t ON {same('w', 't', entity)}"
            f" WHERE w.{moment} > t._since - to_microseconds({span})"
        )
        backend.raw_sql(
            f"CREATE TEMP VIEW _held_touched AS SELECT h.* FROM {held} AS h"
            f" JOIN {_TOUCHED} AS t ON {same('h', 't', entity)}"
            " WHERE greatest(h.event_time, h.available_at) >= t._since"
        )
        return "_held_touched"

    def _due(self, moment: str) -> str:
        """Return the condition that a row arrives at or leaves a window since `before`."""
        since = self.before - (self.reach.every or timedelta(0))
        return " OR ".join(
            f"({moment} > '{(since - over).isoformat()}'::TIMESTAMPTZ"
            f" AND {moment} <= '{(self.now - over).isoformat()}'::TIMESTAMPTZ)"
            for over in (timedelta(0), *self.reach.overs)
        )

    def within(self, given: ViewRows, backend: Backend) -> ViewRows:
        """Leave out what the view says of moments before: it lacks the rows out of reach."""
        touched = backend.table(_TOUCHED)
        joined = given.table.join(touched, list(self.view.entity))
        kept = joined.filter(joined.event_time >= joined["_since"]).select(given.table.columns)
        return ViewRows(table=kept, entity=given.entity, features=given.features)


def touched_since(
    view: FeatureView,
    versions: Mapping[int, Published],
    read: Mapping[str, DatasetRef],
    *,
    lake: Lake,
    now: datetime,
) -> Touched | None:
    """Return what to compute of a view that has a reach; None where it is to be computed whole.

    That is where it was never published, its code changed, or its source lost or changed rows.
    """
    number = next((n for n, version in versions.items() if version.code == view.digest), None)
    if view.reach is None or number is None:
        return None
    source = read[view.reach.source]
    before = parse_ref(versions[number].inputs)
    if before.name != source.table or before.version is None:
        return None
    delta = lake.added(source.table, after=int(before.version), upto=source.snapshot)
    if delta is None:
        return None
    return Touched(
        number=number,
        view=view,
        reach=view.reach,
        source=source,
        delta=delta,
        before=versions[number].at,
        now=now,
    )


def behind(view: FeatureView, *, lake: Lake, now: datetime) -> bool:
    """Tell whether a windowed view has moments to publish that came since it was last published.

    A view that was never published waits for a run.
    """
    if view.reach is None:
        return False
    newest = next((v for v in versions_of(view.name, lake).values() if v.code == view.digest), None)
    return newest is not None and view.reach.due(newest.at, now)


def upto(given: ViewRows, now: datetime) -> ViewRows:
    """Leave out moments to come: until then other rows may arrive."""
    return replace(given, table=given.table.filter(given.table.event_time <= now))
