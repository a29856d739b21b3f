"""What a prediction loses once its truth is known: the SQL of it, by task.

Binary models lose the squared error of the outcome's probability (Brier 1950). Multiclass models
lose half the sum of the squared errors of all classes' probabilities, which for two classes is the
same, and is from 0 to 1 too; a class that a version does not know had a probability of 0.
Regressions lose the squared error over the labels' variance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onward.core.declarations import Task
from onward.core.estimator import class_name
from onward.core.records import ModelRef
from onward.flow.plans import classes_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Parts of a query over predictions `k` with a column ``label``.

    `known` makes the label of a row of the label's function, and `told` that of a row of feedback,
    so that they compare. `output` is the one figure that answers are compared by, `beside` the
    joins that it and the `loss` need.
    """

    known: str = "CAST(label AS DOUBLE)"
    told: str = "value"
    output: str = "output"
    loss: str
    beside: str = ""


LOSSES: Final[Mapping[Task, Loss]] = {
    "binary": Loss(loss="power(output - label, 2)"),
    "regression": Loss(loss="power(output - label, 2) / nullif(var_pop(label) OVER (), 0)"),
    "multiclass": Loss(
        known="label",
        told="coalesce(text, CAST(CAST(value AS BIGINT) AS VARCHAR))",
        output="answer.overall",
        loss="""CASE WHEN label IS NOT NULL THEN
            (1 + list_dot_product(outputs, outputs) - 2 * coalesce(outputs[truth.place], 0)) / 2
        END""",
        beside="""
            LEFT JOIN classes truth ON truth.version = k.version AND truth.name = k.label
            LEFT JOIN classes answer
                ON answer.version = k.version AND answer.place = k.output + 1""",
    ),
}


def class_table(models: Iterable[ModelRef]) -> pa.Table:
    """Return the classes of versions, a row each.

    Columns: ``version``, ``name``, ``place`` (in the version's probabilities, from 1) and
    ``overall``, its place among all names, sorted, from 0.
    """
    import pyarrow as pa

    of = {model.version: classes_of(model) for model in models}
    every = sorted({name for names in of.values() for name in names})
    overall = {name: place for place, name in enumerate(every)}
    rows = [
        {"version": version, "name": name, "place": place, "overall": overall[name]}
        for version, names in of.items()
        for place, name in enumerate(names, start=1)
    ]
    types = {"version": pa.int64(), "name": pa.string(), "place": pa.int64(), "overall": pa.int64()}
    return pa.Table.from_pylist(rows, pa.schema(types))


def named(known: pa.Table) -> pa.Table:
    """Return labels with the names of their classes for the classes themselves."""
    import pyarrow as pa
    import pyarrow.compute as pc

    label = known["label"]
    values = label.unique()
    names = [None if value is None else class_name(value) for value in values.to_pylist()]
    column = pc.take(pa.array(names, pa.string()), pc.index_in(label, values))
    return known.set_column(known.column_names.index("label"), "label", column)
