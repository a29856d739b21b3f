"""The skew audit: what a version was served in production, computed again from the lake."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from onward.core.records import DatasetRef, FeaturePlan, FeatureSkew, ModelRef, SkewReport
from onward.flow.plans import plan_of, request_features_of
from onward.flow.site import Site
from onward.stages.features.step import vectors
from onward.stages.monitor.skew import compare

if TYPE_CHECKING:
    import pyarrow as pa

MOST: Final = 200_000  # vectors of one audit: of more, the newest
_PARTS: Final = 1_000_000


def audit(
    site: Site,
    model: ModelRef,
    table: DatasetRef | None,
    window: tuple[datetime, datetime],
    *,
    sample: float,
) -> SkewReport:
    """Compute a version's logged vectors again, each as of its request's time, and compare.

    `table` is the folded prediction log. Units are sampled by a hash of their key, so one is in
    every audit or in none. Only answered requests that came as rows count. What became known
    later, and what was known and not yet online, is what the audit is there to find.

    Raises
    ------
    CorruptError
        The version's folder is not what was registered.
    NotFoundError
        A view that the version reads is no longer in the lake.
    """
    plan = plan_of(model)
    start, end = window
    features: tuple[FeatureSkew, ...] = ()
    differing = rows = 0
    logged = None if table is None else _logged(site, model, table, window, sample)
    if logged is not None and logged.num_rows:
        again = vectors(plan, request_features_of(model), logged, lake=site.lake)
        served = _served(plan, logged)
        rows = logged.num_rows
        features, differing = compare(
            served, again.select(served.column_names), logged["id"].to_pylist()
        )
    return SkewReport(
        model=model.name,
        version=model.version,
        window_start=start,
        window_end=end,
        sample=sample,
        rows=rows,
        differing=differing,
        features=features,
    )


def _logged(
    site: Site,
    model: ModelRef,
    table: DatasetRef,
    window: tuple[datetime, datetime],
    sample: float,
) -> pa.Table:
    with site.lake.open({"predictions": table}) as backend:
        return backend.raw_sql(
            _SAMPLED,
            parameters=[model.name, model.version, *window, round(sample * _PARTS)],
        ).to_arrow_table()


_SAMPLED: Final = f"""
SELECT * FROM (
    SELECT id, "at", request, features, texts FROM predictions
    WHERE model = $1 AND version = $2 AND "at" >= $3 AND "at" < $4 AND status = 200
        AND request <> '{{}}' AND md5_number_lower(unit) % {_PARTS} < $5
    ORDER BY "at" DESC, id DESC LIMIT {MOST}
) ORDER BY "at", id
"""  # noqa: S608 (constants)


def _served(plan: FeaturePlan, logged: pa.Table) -> pa.Table:
    """Return the logged vectors as a table of the plan's columns."""
    import numpy as np
    import pyarrow as pa

    flat = logged["features"].combine_chunks().flatten().to_numpy()
    numbers = flat.reshape(logged.num_rows, len(plan.columns)) if len(flat) else np.empty((0, 0))
    texts = iter(zip(*logged["texts"].to_pylist(), strict=True))
    return pa.table(
        {
            column.name: pa.array(next(texts), pa.string())
            if column.dtype == "string"
            else pa.array(np.ascontiguousarray(numbers[:, position]))
            for position, column in enumerate(plan.columns)
        }
    )
