"""The examples that go with a model name nobody."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from onward.core.records import Column, FeaturePlan, Mask, OnDemandPlan
from onward.core.records.masks import looks_masked
from onward.stages.train.golden import golden


class Half:
    """An estimator that answers a half."""

    def predict_proba(self, rows: pd.DataFrame) -> Any:
        return np.full((len(rows), 2), 0.5)


def examples(column: Column, values: list[Any], *read: str) -> list[Any]:
    plan = FeaturePlan(
        columns=(Column(name="x", dtype="double"),),
        views=(),
        on_demand=(OnDemandPlan(name="f", inputs=read, outputs=("x",)),),
        request=(column,),
        key=(column.name,),
    )
    holdout = pa.table({column.name: values})
    x = pd.DataFrame({"x": [1.0] * len(values)})
    return [row[column.name] for row in golden(Half(), holdout, x, plan, "binary")["rows"]]


def who(dtype: str = "string", mask: Mask | None = None) -> Column:
    return Column(name="who", dtype=dtype, mask=mask, personal=True)


def test_the_same_person_gets_the_same_stand_in() -> None:
    assert examples(who(), ["ada", "bob", None, "ada"]) == [
        "somebody 0", "somebody 1", None, "somebody 0",
    ]  # fmt: skip
    assert examples(who("int64"), [41, 42, 41]) == [-1, -2, -1]


def test_a_masked_person_gets_one_that_looks_masked() -> None:
    mask = Mask(kind="pseudonym", domain="who")
    [stand_in] = examples(who(mask=mask), ["p-3fe1b6a2-" + "0" * 32])
    assert stand_in.startswith("p-00000000-")
    assert looks_masked(stand_in)


@pytest.mark.parametrize("read", [("who",), ()])
def test_what_a_feature_is_computed_from_stays(read: tuple[str, ...]) -> None:
    assert (examples(who(), ["ada"], *read) == ["ada"]) is bool(read)
