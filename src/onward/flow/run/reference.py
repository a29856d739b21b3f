"""What a registered version says of rows that are known: asked in a process of its own."""

from __future__ import annotations

import io
import pickle
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from onward.core import digest
from onward.core.estimator import features_of, predictions_of
from onward.core.files import write_whole
from onward.core.records import ModelRef, RunRef, TrainingSetRef
from onward.flow.site import Site

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def answers(model: ModelRef, rows: TrainingSetRef, since: datetime | None = None) -> pa.Table:
    """Ask a version about the rows of a training set, from `since` on if given.

    Columns: the plan's key, ``event_time``, ``label``, and ``output``: P(class 1), the value, or
    the likeliest class's index. The version is user code: let `Compute` run this.

    Raises
    ------
    CorruptError
        The version's artifacts are not those that were recorded.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    folder = Path(model.path)
    digest.require(folder, model.digest, model.ref)
    estimator = pickle.loads((folder / "model.pkl").read_bytes())
    chosen = None if since is None else pc.field("event_time") >= pc.scalar(since)
    table = pq.read_table(rows.path, filters=chosen)
    output = predictions_of(estimator, features_of(table, rows.plan), rows.task)
    kept = table.select([*rows.plan.key, "event_time", "label"])
    return kept.append_column("output", pa.array(output if output.ndim == 1 else output.argmax(1)))


def held_out_scores(site: Site, model: ModelRef, trained: RunRef) -> np.ndarray:
    """Return a version's predictions on its held-out rows, shape (n,); asked once, then kept."""
    import numpy as np

    file = site.folders.root / "reference" / f"{model.name}-{model.version}.npy"
    if not file.exists():
        table = site.compute.run(
            answers, model, trained.training, trained.holdout_from, name=f"ask {model.ref}"
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        stored = io.BytesIO()
        np.save(stored, table["output"].to_numpy().astype("float64"))
        write_whole(file, stored.getvalue())
    scores: np.ndarray = np.load(file)
    return scores
