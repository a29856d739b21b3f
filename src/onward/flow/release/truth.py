"""What came true of predictions, for all who judge by it: releases, and the performance monitor.

It comes with a source's rows, by the unit, or is told as feedback, by the prediction's id, which
goes before. Of a shadow's answer, whose id nobody has, it is told by that of the champion's to the
same request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from onward.core.records import DatasetRef
from onward.flow.pipeline.definition import Definition
from onward.flow.release.loss import LOSSES, named
from onward.flow.site import Site
from onward.stages.features.step import labels
from onward.stages.serve.release.config import SHADOW
from onward.stages.serve.routes import CHAMPION
from onward.stages.serve.step import FEEDBACK

if TYPE_CHECKING:
    import pyarrow as pa

EARLY: Final = timedelta(days=1)
"""A label's event time may precede its prediction by clock skew."""


def asked(
    site: Site,
    definition: Definition,
    table: DatasetRef,
    query: str,
    *parameters: Any,
    chosen: str,
    since: datetime,
    beside: Mapping[str, pa.Table] | None = None,
) -> pa.Table:
    """Return what a query finds over ``k``: the model's predictions, with what came true of them.

    ``k`` has the columns of `table`, one of `observe.bring_in`, and ``label``, null
    until it is known, ``told``, whether it is as feedback, and ``reward``. Its rows are the
    `chosen` ones from a day before `since` on.

    Parameters
    ----------
    query
        A SELECT, with the parts of the task's `onward.flow.release.loss.Loss` in braces.
    parameters
        Of both, from ``$3`` on.
    chosen
        A condition on rows of `table`: by bounds, where it can be, so that few of them are read.
    beside
        Other tables that it reads.
    """
    loss = LOSSES[definition.pipeline.model.task]
    tables = {
        "predictions": table,
        "known": known_labels(site, definition, since),
        "feedback": _feedback(site),
        **(beside or {}),
    }
    with site.lake.open(tables) as backend:
        return backend.raw_sql(
            (_TRUTH + query).format(
                unit=unit_of(definition),
                chosen=chosen,
                champion=CHAMPION,
                shadow=SHADOW,
                **asdict(loss),
            ),
            parameters=[definition.model, since - EARLY, *parameters],
        ).to_arrow_table()


def known_labels(site: Site, definition: Definition, since: datetime) -> pa.Table:
    """Return the labels that rows gave by now of things predicted from `since` on.

    Columns: the label's key, ``event_time``, ``available_at``, ``label``: of a multiclass model the
    class's name, as the gateway answers it.
    """
    label = definition.pipeline.model.label
    known = labels(
        label,
        lake=site.lake,
        inputs=inputs_of(site, definition, label.inputs),
        since=since - EARLY,
        as_of=site.clock.now(),
    )
    return named(known) if definition.pipeline.model.task == "multiclass" else known


def inputs_of(
    site: Site, definition: Definition, names: tuple[str, ...]
) -> Mapping[str, DatasetRef]:
    """Return the newest published snapshot of each named dataset."""
    return {name: site.lake.dataset(definition.table(name)) for name in names}


def unit_of(definition: Definition) -> str:
    """Return the SQL text that makes a label row's unit as the gateway does: its key, joined."""
    parts = ", ".join(
        f'CAST("{column}" AS VARCHAR)' for column in definition.pipeline.model.label.key
    )
    return f"concat_ws('|', {parts})"


def _feedback(site: Site) -> DatasetRef | pa.Table:
    """Return what callers said of predictions; an empty table before anybody did."""
    import pyarrow as pa

    if site.lake.head(FEEDBACK) is not None:
        return site.lake.dataset(FEEDBACK)
    names = ("model", "prediction", "name", "text")
    types = {**{name: pa.string() for name in names}, "value": pa.float64()}
    return pa.schema({**types, "at": pa.timestamp("us", "UTC")}).empty_table()


# A shadow's rows are told of by an equality alone: with one more condition on the left side of the
# join, DuckDB would compare each row with each.
_TRUTH: Final = """
WITH
mine AS NOT MATERIALIZED (
    SELECT * FROM predictions WHERE model = $1 AND "at" >= $2 AND {chosen}
),
known_units AS (
    SELECT {unit} AS unit, arg_max({known}, available_at) AS label FROM known GROUP BY ALL
),
told AS (
    SELECT prediction,
           arg_max({told}, "at") FILTER (name = 'label') AS label,
           arg_max(value, "at") FILTER (name = 'reward') AS reward
    FROM feedback WHERE model = $1 GROUP BY prediction
),
told_beside AS (
    SELECT p.release, p.unit, p."at", min(t.label) AS label
    FROM told t JOIN mine p ON p.id = t.prediction
    WHERE p.arm = '{champion}'
    GROUP BY ALL HAVING min(t.label) = max(t.label)
),
k AS NOT MATERIALIZED (
    SELECT p.*,
           coalesce(t.label, b.label, u.label) AS label,
           t.label IS NOT NULL AS told,
           t.reward
    FROM mine p
    LEFT JOIN told t ON t.prediction = p.id
    LEFT JOIN told_beside b
        ON b.release = CASE WHEN p.arm = '{shadow}' THEN p.release END
        AND b.unit = p.unit AND b."at" = p."at"
    LEFT JOIN known_units u ON u.unit = p.unit
)
"""
