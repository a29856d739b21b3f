"""Production as tables: logged predictions, with what came true of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from onward.core.records import DatasetRef, FeaturePlan, ModelRef
from onward.core.refs import ref
from onward.flow.pipeline.definition import Definition
from onward.flow.release.loss import class_table
from onward.flow.release.releases import packaged
from onward.flow.release.truth import asked
from onward.flow.site import Site
from onward.stages.serve.release.config import SHADOW
from onward.stages.serve.step import TABLE as PREDICTIONS
from onward.stages.serve.step import fold, prune

if TYPE_CHECKING:
    import pyarrow as pa

COMPACT = 50  # data files: a fold adds one, and a reader opens each


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
    site: Site, definition: Definition, table: DatasetRef | None, window: tuple[datetime, datetime]
) -> pa.Table:
    """Return the logged predictions with ``start <= at < end`` that anybody was given.

    Columns: those of the log's table, and what came true by now, as `truth.asked` has it:
    ``label``, ``told``, ``reward``.
    """
    start, end = window
    if table is None:
        return _no_predictions()
    given = '"at" >= $3 AND "at" < $4 AND arm <> $5'
    return asked(
        site, definition, table, "SELECT * FROM k", start, end, SHADOW, chosen=given, since=start
    )


def observations(
    site: Site, definition: Definition, table: DatasetRef | None, version: int, since: datetime
) -> pa.Table:
    """Return what a release is judged by: one row per prediction of a table of `bring_in`.

    Columns: ``arm``, ``step``, ``unit``, ``at``, ``status``, ``latency_us``, ``output``, ``loss``,
    ``reward``. The loss is null until the label has arrived (`truth.py` says how, and
    `loss.py` what it is); the reward comes as feedback. The output of a multiclass model
    is the likeliest class's place among the sorted names of all classes that the release's
    versions have.

    Rows are told from others by the release that they were logged with; `since` only spares
    reading older ones, and a gateway's clock may be a day behind.
    """
    import pyarrow as pa

    if table is None:
        return pa.schema(_observation_types()).empty_table()
    prefix = ref("release", definition.model, f"{version}.")
    classes = {}
    if definition.pipeline.model.task == "multiclass":
        classes["classes"] = class_table(_judged(site, definition.model, table, prefix))
    return asked(
        site, definition, table, _OBSERVATIONS, prefix, _after(prefix),
        chosen="release >= $3 AND release < $4", since=since, beside=classes,
    )  # fmt: skip


def _judged(site: Site, model: str, table: DatasetRef, prefix: str) -> Sequence[ModelRef]:
    """Return the versions that answered under a release."""
    with site.lake.open({"predictions": table}) as backend:
        rows = backend.table("predictions")
        of = rows.release
        chosen = rows.filter(rows.model == model, of >= prefix, of < _after(prefix))
        found = chosen.select("version").distinct().to_pyarrow()["version"].to_pylist()
    images = packaged(site.ledger, model)
    return [images[version].model for version in found]


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


_OBSERVATIONS = """
SELECT arm,
       CAST(split_part(release, '.', -1) AS INTEGER) AS step,
       unit, "at", status, latency_us, CAST({output} AS DOUBLE) AS output,
       CAST(CASE WHEN status = 200 THEN {loss} END AS DOUBLE) AS loss,
       reward
FROM k {beside}
"""


def _after(prefix: str) -> str:
    """Return the least text that is greater than all that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


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
        "label": pa.float64(),
        "told": pa.bool_(),
        "reward": pa.float64(),
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
