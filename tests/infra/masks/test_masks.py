"""Masks: the same in a column and in a request, and undone by none but whom they are for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core.errors import CorruptError, DataError
from onward.core.ports import Secret
from onward.core.records import Mask
from onward.core.records.masks import looks_masked
from onward.infra.masks import keyring
from onward.infra.masks.masks import KeyedMasks, open_masks
from onward.infra.secrets.environment import EnvironmentSecrets
from onward.infra.secrets.keyfile import KeyFile

RING = {
    "ONWARD_SECRET_MASK_TOKENS": "TlVNQkVSIE9ORSBLRVkgT0YgVEhJUlRZIFRXTyBCWVRFUyE=",
    "ONWARD_SECRET_MASK_REVEAL": "TlVNQkVSIFRXTyBLRVkgT0YgVEhJUlRZIFRXTyBCWVRFUyE=",
}
MASKS = KeyedMasks(EnvironmentSecrets(RING))
PSEUDONYM = Mask(kind="pseudonym", domain="customer")
HASH = Mask(kind="hash", domain="orders.email")
STABLE = Mask(kind="reveal", role="fraud", domain="iban")
FRESH = Mask(kind="reveal", role="fraud", domain="payments.iban", stable=False)
KEYED = [PSEUDONYM, HASH, STABLE]
NOON = datetime(2013, 6, 17, 12, 34, 56, tzinfo=UTC)

texts = st.text(max_size=40)


@pytest.mark.parametrize("mask", KEYED, ids=str)
@given(values=st.lists(st.none() | texts, max_size=20))
def test_a_column_and_a_request_are_masked_alike(mask: Mask, values: list[str | None]) -> None:
    masked = MASKS.column(mask, pa.array(values, pa.string()))
    assert masked.type == pa.string()
    assert masked.to_pylist() == [MASKS.value(mask, value) for value in values]


@pytest.mark.parametrize("mask", KEYED, ids=str)
@given(one=texts, other=texts)
def test_equal_values_alone_are_masked_alike(mask: Mask, one: str, other: str) -> None:
    assert (MASKS.value(mask, one) == MASKS.value(mask, other)) is (one == other)


@pytest.mark.parametrize("mask", [*KEYED, FRESH], ids=str)
@given(value=texts)
def test_a_masked_value_shows_nothing_and_stays(mask: Mask, value: str) -> None:
    masked = MASKS.value(mask, value)
    assert looks_masked(masked)
    assert len(value) < 4 or value not in masked
    assert MASKS.value(mask, masked) == masked


@pytest.mark.parametrize("mask", [STABLE, FRESH], ids=str)
@given(value=texts)
def test_what_is_for_a_role_can_be_revealed(mask: Mask, value: str) -> None:
    assert MASKS.reveal(mask, MASKS.value(mask, value)) == value


def test_values_that_are_encrypted_afresh_do_not_show_that_they_are_equal() -> None:
    masked = MASKS.column(FRESH, pa.array(["DE1", "DE1", None])).to_pylist()
    assert masked[0] != masked[1]
    assert masked[2] is None
    assert [MASKS.reveal(FRESH, v) for v in masked[:2]] == ["DE1", "DE1"]


def test_domains_and_kinds_cannot_be_matched_with_one_another() -> None:
    masks = [*KEYED, *(Mask(kind=m.kind, domain="another") for m in KEYED)]
    assert len({MASKS.value(mask, "x").split("-", 2)[2] for mask in masks}) == len(masks)


def test_a_whole_number_is_masked_as_its_text() -> None:
    assert MASKS.value(PSEUDONYM, 42) == MASKS.value(PSEUDONYM, "42")
    assert MASKS.column(PSEUDONYM, pa.array([42])).to_pylist() == [MASKS.value(PSEUDONYM, 42)]


def test_a_value_of_another_type_is_refused_and_not_shown() -> None:
    with pytest.raises(DataError) as refused:
        MASKS.value(PSEUDONYM, 1234.5)
    assert "1234" not in str(refused.value)
    with pytest.raises(DataError):
        MASKS.value(Mask(kind="generalise", step=10.0), "much")


@pytest.mark.parametrize(
    ("masked", "why"),
    [
        ("DE12", "none of a column"),
        ("e-00000000-AAAA", "no secret store"),
        (MASKS.value(FRESH, "x")[:-6] + "AAAAA=", "altered"),
        (MASKS.value(Mask(kind="reveal", domain="a.b", stable=False), "x"), "another column"),
    ],
    ids=["plain", "unknown key", "altered", "another column"],
)
def test_what_cannot_be_revealed_says_why(masked: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        MASKS.reveal(FRESH, masked)


def test_old_keys_are_read_after_a_rotation(tmp_path: Path) -> None:
    secrets = KeyFile(tmp_path / "k.json")
    masks = KeyedMasks(secrets)
    old, token = masks.value(FRESH, "DE1"), masks.value(PSEUDONYM, "c1")
    key = keyring.rotate(secrets, keyring.REVEAL)
    new = masks.value(FRESH, "DE1")
    assert new.startswith(f"e-{key.id}-")
    assert not old.startswith(f"e-{key.id}-")
    assert [masks.reveal(FRESH, v) for v in (old, new)] == ["DE1", "DE1"]
    assert KeyedMasks(secrets).value(PSEUDONYM, "c1") == token
    keyring.rotate(secrets, keyring.TOKENS)
    assert KeyedMasks(secrets).value(PSEUDONYM, "c1") != token
    assert KeyedMasks(secrets).key(PSEUDONYM) != masks.key(PSEUDONYM)


def test_a_gateway_makes_no_keys(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="mask-tokens"):
        open_masks(str(tmp_path / "k.json"), str(tmp_path)).value(PSEUDONYM, "c1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ring", ["short", "!!!!", ""])
def test_a_ring_that_is_none_is_refused(ring: str) -> None:
    with pytest.raises(CorruptError) as refused:
        KeyedMasks(EnvironmentSecrets({"ONWARD_SECRET_MASK_TOKENS": ring})).key(PSEUDONYM)
    assert "short" not in str(refused.value)


def test_no_key_shows(tmp_path: Path) -> None:
    secrets = KeyFile(tmp_path / "k.json")
    [key] = keyring.keys(secrets, keyring.TOKENS, make=True)
    held = secrets.find(keyring.TOKENS)
    assert held is not None
    assert repr(key) == f"Key(id={key.id!r})"
    assert key.id not in held.reveal()
    assert isinstance(held, Secret)


def generalise(**how: Any) -> Mask:
    return Mask(kind="generalise", **how)


@pytest.mark.parametrize(
    ("mask", "values", "coarse"),
    [
        (generalise(digits=3), ["12345", "12", None, "äöüß"], ["123**", "12", None, "äöü*"]),
        (generalise(digits=0), ["12345"], ["*****"]),
        (generalise(step=10.0), [17, 20, -1, None], [10, 20, -10, None]),
        (generalise(step=0.5), [1.7, 2.0], [1.5, 2.0]),
        (generalise(bins=(18.0, 65.0)), [17.9, 18.0, 65.0, None], ["<18", "18-65", "65+", None]),
        (generalise(bins=(18.0,)), [float("nan")], [None]),
        (generalise(to="month"), [date(2013, 6, 17), None], [date(2013, 6, 1), None]),
        (generalise(to="quarter"), [date(2013, 6, 17)], [date(2013, 4, 1)]),
        (generalise(to="hour"), [NOON], [datetime(2013, 6, 17, 12, tzinfo=UTC)]),
        (generalise(to="year"), [NOON], [datetime(2013, 1, 1, tzinfo=UTC)]),
    ],
    ids=str,
)
def test_coarser_values(mask: Mask, values: list[Any], coarse: list[Any]) -> None:
    times = pa.timestamp("us", "UTC") if isinstance(values[0], datetime) else None
    assert MASKS.column(mask, pa.array(values, times)).to_pylist() == coarse
    assert [MASKS.value(mask, v) for v in values] == coarse
    assert [MASKS.value(mask, c) for c in coarse] == coarse


@given(day=st.dates(), unit=st.sampled_from(["hour", "day", "month", "quarter", "year"]))
def test_dates_are_lowered_alike(day: date, unit: str) -> None:
    mask = generalise(to=unit)
    assert MASKS.column(mask, pa.array([day])).to_pylist() == [MASKS.value(mask, day)]
