"""Declaring a windowed view: a feature view whose function is a set of aggregations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onward.core.clock import duration
from onward.core.declarations import require_name
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location
from onward.core.records import OnMissing, OnStale
from onward.stages.features.config import FeatureView
from onward.stages.features.windows import Aggregation, Reach, Windows, require_aggregations

if TYPE_CHECKING:
    import ibis.expr.types as ir


def windowed_view(
    name: str,
    source: Any,
    *,
    entity: str | Sequence[str],
    features: Sequence[Aggregation],
    every: str | None = None,
    event_time: str | None = None,
    available_at: str | None = None,
    ttl: str | None = None,
    on_missing: OnMissing = "null",
    on_stale: OnStale | None = None,
    defaults: Mapping[str, float | str] | None = None,
    description: str = "",
    owner: str = "",
    tags: Sequence[str] = (),
) -> FeatureView:
    """Declare a feature view of windowed aggregations over a source's or a transform's rows.

    It is computed whole the first time, and then only for what new rows touch; either way the
    rows are the same.

    Parameters
    ----------
    name
        The view's name.
    source
        What `onward.Source` or `onward.transform` declared.
    entity
        The column, or columns, that the features describe.
    features
        Aggregations: ``ow.window.mean("amount", over="30d")``.
    every
        The grid in time, such as ``"1d"``: values change at its multiples only (since 1970, in
        UTC). Without one they change with each row, and each row's leaving.
    event_time, available_at
        The source's columns that say when a row's fact happened, and could be known; a transform
        does not declare them itself.
    ttl
        How old a view's row may be and still be fresh. Windows empty by themselves, so there is
        none unless given.
    on_missing, on_stale, defaults, description, owner, tags
        As `feature_view` has them.
    """
    location = here()
    require_name(name, "feature view", location)
    columns = (entity,) if isinstance(entity, str) else tuple(entity)
    happened = event_time or getattr(source, "event_time", None)
    known = available_at or getattr(source, "available_at", None) or happened
    if not hasattr(source, "table") or not hasattr(source, "name"):
        raise DeclarationError(
            f"windowed view {name!r} reads {source!r}",
            expected="a source or a transform of this file",
            location=location,
        )
    if happened is None or known is None or not all(columns) or not columns:
        missing = "entity" if happened else "event_time"
        raise DeclarationError(
            f"windowed view {name!r} has no {missing}",
            expected=f"{missing}='column'",
            location=location,
        )
    windows = Windows(
        name=name,
        entity=columns,
        event_time=happened,
        available_at=known,
        every=None if every is None else duration(every, location),
        aggregations=require_aggregations(name, features, location),
    )
    return FeatureView(
        name=name,
        function=_function(windows, location),
        inputs=(source.name,),
        entity=columns,
        ttl=None if ttl is None else duration(ttl, location),
        reach=Reach(
            source=source.name,
            event_time=happened,
            span=windows.span,
            overs=tuple(sorted({a.over for a in windows.aggregations})),
            every=windows.every,
        ),
        on_missing=on_missing,
        on_stale=on_missing if on_stale is None else on_stale,
        defaults=dict(defaults or {}),
        description=description,
        owner=owner,
        tags=(tags,) if isinstance(tags, str) else tuple(tags),
        location=location,
    )


def _function(windows: Windows, location: Location | None) -> Any:
    """Return the view's function. It closes over the windows, which so count for its version."""

    def rows(source: ir.Table) -> ir.Table:
        return windows.table(source, location)

    return rows
