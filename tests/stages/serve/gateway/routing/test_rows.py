"""Rows of `predict`, for plans that ask for the same or for different columns."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import msgspec
import pytest
import trained_models as small

from onward.core.errors import DataError
from onward.core.records import Column
from onward.stages.serve.gateway.routing.rows import RowDecoder, python_type

[ROW] = small.rows(1)


def body(*rows: dict) -> bytes:
    return json.dumps({"rows": rows}).encode()


def test_rows_come_back_in_column_order():
    decoder = RowDecoder([small.PLAN])
    [row] = decoder.decode(body(ROW | {"more": 1}))
    assert decoder.columns == ("order_id", "store", "amount", "placed_at")
    assert row[:3] == (ROW["order_id"], ROW["store"], ROW["amount"])
    assert row[3] == datetime.fromisoformat(ROW["placed_at"])
    assert decoder.positions(small.PLAN.request) == (0, 1, 2, 3)
    assert not decoder.optional


def test_a_column_that_only_one_plan_reads_may_be_missing():
    extra = Column(name="coupon", dtype="string")
    wider = replace(small.PLAN, request=(extra, *small.PLAN.request))
    decoder = RowDecoder([small.PLAN, wider])
    assert decoder.optional
    without, given = decoder.decode(body(ROW, ROW | {"coupon": "x"}))
    picked = [without[at] for at in decoder.positions(wider.request)]
    assert picked[0] is msgspec.UNSET
    assert [given[at] for at in decoder.positions(wider.request)][:2] == ["x", ROW["order_id"]]
    with pytest.raises(DataError, match="'store' is missing"):
        decoder.decode(body({k: v for k, v in ROW.items() if k != "store"}))


def test_plans_that_disagree_on_a_type_take_what_comes():
    text = tuple(
        replace(c, dtype="string") if c.name == "amount" else c for c in small.PLAN.request
    )
    decoder = RowDecoder([small.PLAN, replace(small.PLAN, request=text)])
    assert decoder.decode(body(ROW | {"amount": "12"}))[0][2] == "12"


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("double", float), ("float", float), ("int8", int), ("uint64", int), ("string", str),
        ("bool", bool), ("timestamp[us, tz=UTC]", datetime), ("date32[day]", date),
    ],
)  # fmt: skip
def test_types(dtype, kind):
    assert python_type(dtype) is kind


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("int64", 2**63), ("int64", -(2**63) - 1), ("int8", 10**400)],
)
def test_a_whole_number_has_64_bits_at_most(dtype, value):
    plan = replace(small.PLAN, request=(Column(name="x", dtype=dtype), *small.PLAN.request))
    with pytest.raises(DataError, match="column 'x' is") as refused:
        RowDecoder([plan]).decode(body(ROW | {"x": value}))
    assert f"x: {dtype}" in (refused.value.expected or "")
    assert RowDecoder([plan]).decode(body(ROW | {"x": 2**63 - 1}))[0][0] == 2**63 - 1


def test_times_are_moments():
    decoder = RowDecoder([small.PLAN])
    [row] = decoder.decode(body(ROW | {"placed_at": "2026-03-01T12:00:00Z"}))
    assert row[3] == datetime(2026, 3, 1, 12, tzinfo=UTC)
