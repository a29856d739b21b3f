"""Production as tables: logged predictions, and the labels that have arrived for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from onward.core.records import DatasetRef, FeaturePlan, ModelRef
from onward.core.refs import ref
from onward.flow.definition import Definition
from onward.flow.loss import LOSSES, class_table, named
from onward.flow.releases import packaged
from onward.flow.site import Site
from onward.stages.features.step import labels
from onward.stages.serve.release.config import SHADOW
from onward.stages.serve.routes import CHAMPION
from onward.stages.serve.step import FEEDBACK, fold, prune
from onward.stages.serve.step import TABLE as PREDICTIONS

if TYPE_CHECKING:
    import pyarrow as pa

COMPACT = 50  # data files: a fold adds one, and a reader opens each
EARLY = timedelta(days=1)  # a label's event time may precede its prediction by clock skew


def bring_in(site: Site) -> DatasetRef | None:
    """Fold the prediction log into the lake; return the table, None before the first prediction."""
    fold(site.folders.predictions, lake=site.lake, run=f"fold-{site.clock.now():%Y%m%d%H%M%S}")
    if site.lake.head(PREDICTIONS) is None:
        return None
    site.lake.compact(PREDICTIONS, every=COMPACT)
    return site.lake.dataset(PREDICTIONS)


def keep_log(site: Site, keep: timedelta) -> int:
    """Delete the log's segments that are in the lake since `keep`; return how many."""
    before = site.clock.now() - keep
    return len(prune(site.folders.predictions, lake=site.lake, before=before))


def predictions(
    site: Site, table: DatasetRef | None, model: str, window: tuple[datetime, datetime]
) -> pa.Table:
    """Return a model's logged predictions with ``start <= at < end`` that anybody was given."""
    start, end = window
    if table is None:
        return _no_predictions()
    with site.lake.open({"predictions": table}) as backend:
        logged = backend.table("predictions")
        chosen = logged.filter(
            logged.model == model,
            logged["arm"] != SHADOW,
            logged["at"] >= start,
            logged["at"] < end,
        )
        return chosen.to_pyarrow()


def known_labels(site: Site, definition: Definition, since: datetime) -> pa.Table:
    """Return the labels of things predicted from `since` on whose truth is known by now.

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


def observations(
    site: Site, definition: Definition, table: DatasetRef | None, version: int, since: datetime
) -> pa.Table:
    """Return what a release is judged by: one row per prediction of a table of `bring_in`.

    Columns: ``arm``, ``step``, ``unit``, ``at``, ``status``, ``latency_us``, ``output``, ``loss``,
    ``reward``. The loss is null until the label has arrived: with a source's rows, by unit, or as
    feedback, by the prediction's id, which goes before; a shadow's answer, whose id nobody has, by
    that of the champion's to the same request. The reward comes as feedback. For the loss
    see `onward.flow.loss`. The output of a multiclass model is the likeliest class's place among
    the sorted names of all classes that the release's versions have.

    Rows are told from others by the release that they were logged with; `since` only spares
    reading older ones, and a gateway's clock may be a day behind.
    """
    import pyarrow as pa

    if table is None:
        return pa.schema(_observation_types()).empty_table()
    prefix = ref("release", definition.model, f"{version}.")
    known = known_labels(site, definition, since)
    task = definition.pipeline.model.task
    tables = {"predictions": table, "known": known, "feedback": _feedback(site)}
    if task == "multiclass":
        tables["classes"] = class_table(_judged(site, definition.model, table, prefix))
    with site.lake.open(tables) as backend:
        return backend.raw_sql(
            _OBSERVATIONS.format(
                unit=unit_of(definition), champion=CHAMPION, shadow=SHADOW, **asdict(LOSSES[task])
            ),
            parameters=[definition.model, since - EARLY, prefix],
        ).to_arrow_table()


def _judged(site: Site, model: str, table: DatasetRef, prefix: str) -> Sequence[ModelRef]:
    """Return the versions that answered under a release."""
    with site.lake.open({"predictions": table}) as backend:
        rows = backend.table("predictions")
        chosen = rows.filter(rows.model == model, rows.release.startswith(prefix))
        found = chosen.select("version").distinct().to_pyarrow()["version"].to_pylist()
    images = packaged(site.ledger, model)
    return [images[version].model for version in found]


def _feedback(site: Site) -> DatasetRef | pa.Table:
    """Return what callers said of predictions; an empty table before anybody did."""
    import pyarrow as pa

    if site.lake.head(FEEDBACK) is not None:
        return site.lake.dataset(FEEDBACK)
    names = ("model", "prediction", "name", "text")
    types = {**{name: pa.string() for name in names}, "value": pa.float64()}
    return pa.schema({**types, "at": pa.timestamp("us", "UTC")}).empty_table()


def newest_rows(site: Site, definition: Definition) -> Mapping[str, datetime | None]:
    """Return the newest event time of each source's published rows."""
    found: dict[str, datetime | None] = {}
    for name, source in definition.sources.items():
        with site.lake.open({name: site.lake.dataset(source.table)}) as backend:
            rows = backend.table(name)
            found[name] = (
                rows.aggregate(newest=rows[source.event_time].max())
                .to_pyarrow()["newest"][0]
                .as_py()
            )
    return found


def newest_features(site: Site, plan: FeaturePlan) -> Mapping[str, datetime | None]:
    """Return, by view, the newest event time among the rows online that a plan reads."""
    marks = {view.name: site.online.mark(view) for view in plan.views}
    return {name: None if mark is None else mark.newest for name, mark in marks.items()}


def unit_of(definition: Definition) -> str:
    """Return the SQL text that makes a label row's unit as the gateway does: its key, joined."""
    parts = ", ".join(
        f'CAST("{column}" AS VARCHAR)' for column in definition.pipeline.model.label.key
    )
    return f"concat_ws('|', {parts})"


_OBSERVATIONS = """
WITH
known_units AS (SELECT {unit} AS unit, {known} AS label FROM known),
told AS (
    SELECT prediction,
           arg_max({told}, "at") FILTER (name = 'label') AS label,
           arg_max(value, "at") FILTER (name = 'reward') AS reward
    FROM feedback WHERE model = $1 GROUP BY prediction
),
told_beside AS (
    SELECT p.release, p.unit, p."at", min(t.label) AS label
    FROM told t JOIN predictions p ON p.id = t.prediction
    WHERE p.arm = '{champion}' AND starts_with(p.release, $3)
    GROUP BY ALL HAVING min(t.label) = max(t.label)
),
k AS (
    SELECT p.*, coalesce(t.label, b.label, u.label) AS label, t.reward
    FROM predictions p
    LEFT JOIN told t ON t.prediction = p.id
    LEFT JOIN told_beside b
        ON p.arm = '{shadow}' AND b.release = p.release AND b.unit = p.unit AND b."at" = p."at"
    LEFT JOIN known_units u ON u.unit = p.unit
    WHERE p.model = $1 AND p."at" >= $2 AND starts_with(p.release, $3)
)
SELECT arm,
       CAST(split_part(release, '.', -1) AS INTEGER) AS step,
       unit, "at", status, latency_us, CAST({output} AS DOUBLE) AS output,
       CAST(CASE WHEN status = 200 THEN {loss} END AS DOUBLE) AS loss,
       reward
FROM k {beside}
"""


def _no_predictions() -> pa.Table:
    import pyarrow as pa

    types = {
        "id": pa.string(),
        "at": pa.timestamp("us", "UTC"),
        "version": pa.int64(),
        "unit": pa.string(),
        "status": pa.int32(),
        "latency_us": pa.int64(),
        "request": pa.string(),
        "features": pa.list_(pa.float64()),
        "output": pa.float64(),
        "outputs": pa.list_(pa.float64()),
    }
    return pa.schema(types).empty_table()


def _observation_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "arm": pa.string(),
        "step": pa.int32(),
        "unit": pa.string(),
        "at": pa.timestamp("us", "UTC"),
        "status": pa.int32(),
        "latency_us": pa.int64(),
        "output": pa.float64(),
        "loss": pa.float64(),
        "reward": pa.float64(),
    }
