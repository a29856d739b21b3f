"""The scoreboard: the model delivered continuously against the first champion left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from onward.app.project import Project
from onward.core.errors import NotFoundError
from onward.core.records import Metric, TrainingSetRef
from onward.flow.data.stages import Refreshed
from onward.flow.model.stages import build_training_set
from onward.flow.release.observe import bring_in
from onward.flow.release.truth import inputs_of, unit_of
from onward.flow.run.reference import answers
from onward.flow.run.skew import audit
from onward.stages.evaluate.bootstrap import interval, resampled
from onward.stages.evaluate.metrics import metrics_of
from onward.stages.features.step import publish

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

METRIC: Final = "roc_auc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month's figures on the same flights; `versions` are shares of the answers."""

    name: str
    delivered: Metric
    alone: Metric
    difference: Metric
    versions: Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoreboard:
    """The comparison by month of departure and over all of them.

    `same` is the share of the first version's feature vectors in production that the lake gives
    again as of their requests: training and serving see the same features.
    """

    months: Sequence[Month]
    year: Month
    same: float
    verdict: str
    last_prediction: str


def score(project: Project) -> Scoreboard:
    """Compare what the gateway answered with what the first champion would have.

    Both are judged on every flight that was predicted and whose delay is known by now; the first
    champion is asked again for all of them, with the features as known then.

    Raises
    ------
    NotFoundError
        Nothing was predicted yet.
    """
    site, definition = project.site, project.definition
    table = bring_in(site)
    if table is None:
        raise NotFoundError("nothing was predicted", next_step="replay at least one delivery")
    first = site.registry.get(definition.model, 1)
    every = _all_rows(project)
    alone = site.compute.run(answers, first, every, name="the first champion, left alone")
    with site.lake.open({"logged": table, "alone": alone}) as backend:
        rows = backend.raw_sql(
            _ROWS.format(unit=unit_of(definition)), parameters=[definition.model]
        ).to_arrow_table()
        last = backend.raw_sql(_LAST, parameters=[definition.model]).fetchone()
    whole = (site.clock.now() - timedelta(days=366), site.clock.now())
    skew = audit(site, first, table, whole, sample=1.0)
    return _board(rows, skew.same, last[0] if last else "")


def _all_rows(project: Project) -> TrainingSetRef:
    site, definition = project.site, project.definition
    names = (*definition.sources, *(t.name for t in definition.transforms))
    datasets = inputs_of(site, definition, names)
    views = {
        view.name: publish(
            view,
            lake=site.lake,
            online=site.online,
            inputs={name: datasets[name] for name in view.inputs},
            run="scoreboard",
            clock=site.clock,
        )
        for view in definition.views
    }
    known = Refreshed(datasets=datasets, views=views, audits=())
    return build_training_set(site, definition, known, site.clock.now())


_ROWS = """
WITH a AS (SELECT {unit} AS unit, event_time, CAST(label AS DOUBLE) AS label, output FROM alone)
SELECT strftime(a.event_time, '%m %b') AS month, l.version, a.label,
       l.output AS delivered, a.output AS alone
FROM logged l JOIN a ON l.unit = a.unit
WHERE l.model = $1 AND l.status = 200
ORDER BY l."at", l.id
"""

_LAST = """
SELECT id FROM logged WHERE model = $1 AND status = 200 ORDER BY "at" DESC, id DESC LIMIT 1
"""


def _board(rows: pa.Table, same: float, last: str) -> Scoreboard:
    import numpy as np

    months = rows["month"].to_numpy(zero_copy_only=False)
    columns = {n: rows[n].to_numpy() for n in ("version", "label", "delivered", "alone")}

    def part(name: str, chosen: np.ndarray) -> Month:
        return _month(name, {n: values[chosen] for n, values in columns.items()})

    found = [part(str(name)[3:], months == name) for name in sorted(set(months))]
    year = part("in all", np.ones(len(months), dtype=bool))
    return Scoreboard(
        months=found,
        year=year,
        same=same,
        verdict=_verdict(found, year),
        last_prediction=last,
    )


def _month(name: str, of: Mapping[str, np.ndarray]) -> Month:
    import numpy as np

    metric, y = metrics_of("binary")[METRIC], of["label"]
    measures = {side: metric.of(y, of[side]) for side in ("delivered", "alone")}
    draws = resampled(measures, len(y))
    values = {side: measure(np.ones(len(y))) for side, measure in measures.items()}

    def figure(value: float, drawn: np.ndarray) -> Metric:
        low, high = interval(drawn)
        return Metric(name=METRIC, value=float(value), low=low, high=high, rows=len(y))

    versions, counts = np.unique(of["version"], return_counts=True)
    return Month(
        name=name,
        delivered=figure(values["delivered"], draws["delivered"]),
        alone=figure(values["alone"], draws["alone"]),
        difference=figure(
            values["delivered"] - values["alone"], draws["delivered"] - draws["alone"]
        ),
        versions={int(v): float(n) / len(y) for v, n in zip(versions, counts, strict=True)},
    )


def _verdict(months: Sequence[Month], year: Month) -> str:
    """Say who was better, as the intervals allow."""
    won = sum(m.difference.low > 0 for m in months)
    lost = sum(m.difference.high < 0 for m in months)
    by = year.difference
    interval_text = f"{by.value:+.4f} [{by.low:+.4f}, {by.high:+.4f}]"
    if by.low > 0:
        said = "continuous delivery won"
    elif by.high < 0:
        said = "continuous delivery lost"
    else:
        said = "continuous delivery made no sure difference"
    return (
        f"Over the year {said}: {METRIC} {interval_text}; surely better in {won} of "
        f"{len(months)} months, surely worse in {lost}."
    )
