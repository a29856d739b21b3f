"""Scoring a table's rows: for each what the gateway would answer, without a gateway.

The rows go through the gateway's own code: the same request columns, the same lookups in the
online store, the same on-demand functions, one model call for many rows. What the gateway would
refuse has an ``error`` instead of an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import DataError, unknown_name
from onward.core.records import FeaturePlan, ImageRef, Route, Routes
from onward.core.records.model import ModelRef
from onward.stages.serve.gateway.features.lookup import settle, wanted
from onward.stages.serve.gateway.models.image import MODEL_FOLDER, unpack
from onward.stages.serve.gateway.models.model import ServedModel, load
from onward.stages.serve.gateway.protocol.inference import OUTPUTS, label_of
from onward.stages.serve.gateway.routing.job import Part
from onward.stages.serve.gateway.routing.live import Live, Target
from onward.stages.serve.gateway.routing.rows import python_type
from onward.stages.serve.gateway.settings import Factory
from onward.stages.serve.gateway.turn.predict import predict

if TYPE_CHECKING:
    import pyarrow as pa

    from onward.stages.serve.port import OnlineReader

ROWS: Final = 10_000
"""Rows of one model call, and what memory holds of a file at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """What a process needs to score rows: it travels to where they are scored.

    `online` opens the online store; without it every view's rows are missing. `cache` is where
    images are unpacked. `at_us` is the moment, in microseconds since 1970, as of which rows of
    views are fresh or stale. `keep` are the columns that go with each answer.
    """

    image: ImageRef
    cache: str
    online: Factory | None
    at_us: int
    keep: tuple[str, ...]
    rows: int = ROWS


def require_columns(plan: FeaturePlan, schema: pa.Schema, table: str, model: ModelRef) -> None:
    """Refuse a table that has not what a model's requests have.

    Raises
    ------
    DataError
        A column is missing, or of another type.
    """
    for column in plan.request:
        if column.name not in schema.names:
            _, expected = unknown_name("column", column.name, schema.names)
            raise DataError(
                f"{table} has no column {column.name!r}, which {model.ref} reads",
                expected=expected,
                next_step="score a table with the model's request columns: "
                f"{', '.join(c.name for c in plan.request)}",
            )
        there, wants = python_type(str(schema.field(column.name).type)), python_type(column.dtype)
        if there != wants and (there, wants) != (int, float):
            raise DataError(
                f"column {column.name!r} of {table} is {schema.field(column.name).type}",
                expected=f"{column.dtype}, as {model.ref} was trained on",
            )


def score_file(scorer: Scorer, source: str, target: str) -> int:
    """Score a Parquet file of rows into another, in the same order; return how many have an error.

    Memory holds `scorer.rows` rows at a time.

    Raises
    ------
    CorruptError
        The image cannot be used.
    UnavailableError
        The online store does not answer.
    """
    import pyarrow.parquet as pq

    folder = unpack(scorer.image, Path(scorer.cache)) / MODEL_FOLDER
    arm = _alone(scorer.image, load(folder.parent))
    store: OnlineReader | None = None if scorer.online is None else scorer.online.make()
    failed = 0
    writer: pq.ParquetWriter | None = None
    try:
        with pq.ParquetFile(source) as file:
            schema = scored_schema(file.schema_arrow, arm.model, scorer.keep)
            writer = pq.ParquetWriter(target, schema)
            for batch in file.iter_batches(batch_size=scorer.rows):
                found = _score(scorer, arm, store, batch, schema)
                failed += len(found) - found["error"].null_count
                writer.write_table(found)
    finally:
        if writer is not None:
            writer.close()
        if store is not None:
            store.close()
    return failed


def scored_schema(rows: pa.Schema, model: ServedModel, keep: Sequence[str]) -> pa.Schema:
    """Return the columns of scored rows: those that are kept, the answer, and where it is from."""
    import pyarrow as pa

    labelled = pa.int64() if model.labels and isinstance(model.labels[0], int) else pa.string()
    kinds = {"probabilities": pa.list_(pa.float64()), "label": labelled}
    return pa.schema(
        [
            *(rows.field(name) for name in keep),
            *((name, kinds.get(name, pa.float64())) for name in OUTPUTS[model.task]),
            ("error", pa.string()),
            ("model_version", pa.int64()),
            ("scored_at", pa.timestamp("us", tz="UTC")),
        ]
    )


def _alone(image: ImageRef, model: ServedModel) -> Target:
    """Return the model as the only arm there is. Rows of published tables are masked already."""
    route = Route(arm="champion", image=image, percent=100.0, release="")
    routes = Routes(model=model.name, salt="", routes=(route,))
    return Live(routes, "", {image.digest: model}).champion


def _score(
    scorer: Scorer,
    arm: Target,
    store: OnlineReader | None,
    batch: pa.RecordBatch,
    schema: pa.Schema,
) -> pa.Table:
    import pyarrow as pa

    request = arm.model.plan.request
    columns = [_values(batch.column(c.name), python_type(c.dtype)) for c in request]
    rows = list(zip(*columns, strict=True))
    outputs: list[list[float] | None] = [None] * len(rows)
    errors: list[str | None] = [None] * len(rows)
    for part in _answered(arm, store, rows, range(len(rows)), scorer.at_us):
        figures = None if part.output is None else part.output.tolist()
        for row, place in enumerate(part.places):
            if figures is None:
                errors[place] = part.error
            else:
                outputs[place] = figures[row]
    answers: dict[str, Any] = {
        "label": [None if o is None else label_of(arm.model, o) for o in outputs],
        "probabilities": outputs,
        "probability": (single := [None if o is None else o[0] for o in outputs]),
        "prediction": single,
        "error": errors,
        "model_version": [arm.model.version] * len(rows),
        "scored_at": [scorer.at_us] * len(rows),
    }
    kept = {name: batch.column(name) for name in scorer.keep}
    made = [kept[f.name] if f.name in kept else pa.array(answers[f.name], f.type) for f in schema]
    return pa.table(made, schema=schema)


def _answered(
    arm: Target,
    store: OnlineReader | None,
    rows: Sequence[tuple[Any, ...]],
    places: Sequence[int],
    at_us: int,
) -> Iterator[Part]:
    """Yield parts that cover all rows; where some make a call fail, smaller ones around them."""
    part = Part(arm, at_us)
    part.units, part.places, part.requests = [""] * len(rows), list(places), list(rows)
    if arm.model.views:
        asked = wanted([part])
        found = [[None] * len(entities) for _, entities in asked] if store is None else (
            store.read(asked)
        )  # fmt: skip
        settle([part], found)
    for each in part.divided() if part.refused else [part]:
        if each.status == 200:
            predict(arm, [each])
        if each.status == 200 or len(each.places) == 1:
            yield each
            continue
        half = len(each.places) // 2
        for some in (slice(0, half), slice(half, None)):
            yield from _answered(arm, store, (each.requests or [])[some], each.places[some], at_us)


def _values(column: pa.Array, kind: Any) -> list[Any]:
    """Return a column's values as they would arrive in a request."""
    values: list[Any] = column.to_pylist()
    return [None if v is None else float(v) for v in values] if kind is float else values
