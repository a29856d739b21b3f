"""Production's past, for a staged image to answer again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from onward.flow.plans import classes_of, task_of
from onward.flow.release.observe import bring_in
from onward.flow.release.releases import champion
from onward.flow.site import Site
from onward.stages.deploy.config import Replay
from onward.stages.deploy.replay import Answered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onward.core.records import ModelRef


def answered(site: Site, model: str, gate: Replay) -> Sequence[Answered]:
    """Return requests that the champion answered in the gate's window, a sample if there are more.

    What came as features, without a request, cannot be asked again. Rows are chosen by the hash of
    their ids, so that a repeated acceptance asks the same.
    """
    serving, table = champion(site.ledger, model), bring_in(site)
    if serving is None or table is None:
        return ()
    since = site.clock.now() - gate.window
    with site.lake.open({"predictions": table}) as backend:
        rows = backend.table("predictions")
        chosen = rows.filter(
            rows.model == model,
            rows.version == serving.model.version,
            rows.status == 200,
            rows["at"] >= since,
            rows.request != "{}",
        )
        sample = chosen.order_by(chosen.id.hash()).limit(gate.rows)
        found = sample.select("request", "at", "output").to_pyarrow().to_pylist()
    said = _said(serving.model)
    return tuple(
        Answered(request=json.loads(row["request"]), at=row["at"], output=said(row["output"]))
        for row in sorted(found, key=lambda row: row["at"])
    )


def _said(model: ModelRef) -> Callable[[float], float | str]:
    """Return what makes of a logged figure what it says: of a multiclass model, the class."""
    if task_of(model) != "multiclass":
        return lambda output: output
    names = classes_of(model)
    return lambda output: names[int(output)]
