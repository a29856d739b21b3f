"""Feedback as a table: what became known about predictions, by their ids."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from onward.flow.release.observe import COMPACT, bring_in
from onward.flow.site import Site
from onward.stages.serve.step import FEEDBACK

if TYPE_CHECKING:
    import pyarrow as pa


def told(site: Site, model: str, name: str = "label", *, since: datetime | None = None) -> pa.Table:
    """Return what was told under a name about a model's predictions, from `since` on.

    One row for each prediction that is in the lake: of several statements the newest holds.
    Columns: ``prediction`` (its id), ``at`` (when it was told), ``value`` (numbers, and truth
    values as 1 and 0) and ``text``, of which one is NULL. It joins with `observe.predictions` on
    their ``id``.
    """
    import ibis

    predictions = bring_in(site)
    if predictions is None or site.lake.head(FEEDBACK) is None:
        return _nothing()
    site.lake.compact(FEEDBACK, every=COMPACT)
    tables = {"feedback": site.lake.dataset(FEEDBACK), "predictions": predictions}
    with site.lake.open(tables) as backend:
        rows, answered = backend.table("feedback"), backend.table("predictions")
        chosen = rows.filter(rows.model == model, rows["name"] == name)
        known = answered.filter(answered.model == model).select("id")
        chosen = chosen.semi_join(known, chosen.prediction == known.id)
        if since is not None:
            chosen = chosen.filter(chosen["at"] >= since)
        newest = ibis.row_number().over(
            group_by=chosen.prediction, order_by=[chosen["at"].desc(), chosen.id.desc()]
        )
        ranked = chosen.mutate(rank=newest)
        last = ranked.filter(ranked["rank"] == 0).order_by("at", "prediction")
        return last.select("prediction", "at", "value", "text").to_pyarrow()


def _nothing() -> pa.Table:
    import pyarrow as pa

    types = {
        "prediction": pa.string(),
        "at": pa.timestamp("us", tz="UTC"),
        "value": pa.float64(),
        "text": pa.string(),
    }
    return pa.schema(types).empty_table()
