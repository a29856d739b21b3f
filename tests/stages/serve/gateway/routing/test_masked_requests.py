"""Masked request columns: what a caller may send, and what a gateway without keys refuses."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pytest

from onward.core.errors import DataError
from onward.core.records import Column, FeaturePlan, Mask
from onward.infra.masks.masks import KeyedMasks
from onward.infra.secrets.environment import EnvironmentSecrets
from onward.stages.serve.gateway.routing.masking import masking, raw_type
from onward.stages.serve.gateway.routing.rows import RowDecoder

RING = {"ONWARD_SECRET_MASK_TOKENS": "TlVNQkVSIE9ORSBLRVkgT0YgVEhJUlRZIFRXTyBCWVRFUyE="}
WHO = Column(name="who", dtype="string", mask=Mask(kind="pseudonym", domain="who"))
PLAN = FeaturePlan(columns=(), views=(), on_demand=(), request=(WHO,), key=("who",))


def coarse(dtype: str, **how: Any) -> Column:
    return Column(name="c", dtype=dtype, mask=Mask(kind="generalise", **how))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (WHO, str | int),
        (coarse("string", digits=2), str | int),
        (coarse("string", bins=(1.0,)), str | float),
        (coarse("double", step=5.0), float),
        (coarse("int64", step=5.0), int),
        (coarse("timestamp[us, tz=UTC]", to="day"), datetime),
        (coarse("date32[day]", to="month"), date),
    ],
)
def test_a_raw_value_may_come_in_its_own_type(column: Column, kind: Any) -> None:
    assert raw_type(column) == kind


def test_a_number_or_text_is_decoded_and_masked() -> None:
    decoder = RowDecoder([PLAN])
    body = json.dumps({"rows": [{"who": 42}, {"who": "42"}]}).encode()
    mask = masking(WHO, KeyedMasks(EnvironmentSecrets(RING)))
    assert len({mask(who) for (who,) in decoder.decode(body)}) == 1
    with pytest.raises(DataError, match=r"column 'who' is 1\.5"):
        decoder.decode(b'{"rows": [{"who": 1.5}]}')


def test_without_keys_only_masked_values_are_taken() -> None:
    keyless = masking(WHO, None)
    token = KeyedMasks(EnvironmentSecrets(RING)).value(WHO.mask, "ada")  # type: ignore[arg-type]
    assert keyless(token) == token
    assert keyless(None) is None
    with pytest.raises(DataError, match="no keys") as refused:
        keyless("ada")
    assert "ada" not in str(refused.value)
