"""Masked columns in a training set: what no request could match is refused where it is built."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from onward.core.errors import DataError
from onward.core.records import Mask
from onward.stages.features.masked import requested

MODEL: Any = SimpleNamespace(name="m", location=None)
PSEUDONYM = Mask(kind="pseudonym", domain="who")
TOKEN = "p-3fe1b6a2-" + "0" * 32


def column(values: list[Any], *masks: Mask) -> Any:
    return requested(MODEL, "who", pa.chunked_array([values]), masks)


def test_a_masked_column_carries_its_mask() -> None:
    assert column([TOKEN, None], PSEUDONYM).mask == PSEUDONYM
    assert column(["ada"]).mask is None
    zipped = Mask(kind="generalise", digits=2)
    assert column(["10***"], zipped).mask == zipped


@pytest.mark.parametrize(
    ("values", "masks", "why"),
    [
        ([TOKEN], [], "holds masked values"),  # it was renamed on the way
        ([TOKEN, "ada"], [PSEUDONYM], "raw values beside masked ones"),
        (["x"], [PSEUDONYM, Mask(kind="hash", domain="a.who")], "in one source and by"),
        ([TOKEN], [Mask(kind="reveal", domain="a.who", stable=False)], "encrypted afresh"),
    ],
)
def test_what_no_request_could_match_is_refused(
    values: list[Any], masks: list[Mask], why: str
) -> None:
    with pytest.raises(DataError, match=why):
        column(values, *masks)
