"""Routes: whole, sticky, and replaced at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from gateway_site import routes_of
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.core.errors import CorruptError, DeclarationError
from onward.stages.serve.routes import (
    BUCKETS,
    CHAMPION,
    allot,
    bucket,
    owners,
    read_routes,
    write_routes,
)


def of_candidate(units: list[str], routes) -> set[str]:
    """The units that go to the candidate."""
    owned_by = owners(routes.routes)
    return {unit for unit in units if owned_by[bucket(routes.salt, unit)] == 1}


def test_routes_come_back_as_written(tmp_path, image):
    routes = routes_of((image("plain"), 75.0), (image("better"), 25.0))
    version = write_routes(tmp_path, routes)
    assert read_routes(tmp_path / "returns.json") == (routes, version)
    assert write_routes(tmp_path, routes) == version
    other = routes_of((image("plain"), 50.0), (image("better"), 50.0))
    assert write_routes(tmp_path, other) != version
    assert [p.name for p in tmp_path.iterdir()] == ["returns.json"]


@pytest.mark.parametrize("shares", [(90.0,), (90.0, 20.0), (50.0, 49.0)])
def test_shares_must_be_whole(tmp_path, image, shares):
    arms = zip((image("plain"), image("better")), shares, strict=False)
    with pytest.raises(DeclarationError, match="champion"):
        write_routes(tmp_path, routes_of(*arms))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "{}", '{"model": "m", "salt": "s", "routes": []}'])
def test_what_is_no_routes_file_is_refused(tmp_path, text):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(CorruptError, match="no routes file"):
        read_routes(tmp_path / "m.json")
    with pytest.raises(CorruptError, match="no routes file"):
        read_routes(tmp_path / "missing.json")


@settings(max_examples=100, deadline=None)
@given(
    salt=st.text(max_size=10),
    units=st.lists(st.text(max_size=20), min_size=1, max_size=50),
    percents=st.lists(st.floats(0, 100), min_size=2, max_size=5).map(sorted),
)
def test_a_growing_share_only_moves_units_to_the_candidate(image, salt, units, percents):
    before: set[str] = set()
    for percent in percents:
        arms = (image("plain"), 100 - percent), (image("better"), percent)
        routes = routes_of(*arms, salt=salt)
        now = of_candidate(units, routes)
        assert before <= now
        before = now


def test_the_share_is_what_was_asked_for(image):
    units = [f"unit-{i}" for i in range(20_000)]
    for percent in (0.0, 0.01, 5.0, 50.0, 100.0):
        routes = routes_of((image("plain"), 100 - percent), (image("better"), percent))
        found = len(of_candidate(units, routes)) / len(units)
        assert found == pytest.approx(percent / 100, abs=0.012)
        assert owners(routes.routes).count(1) == round(percent * BUCKETS / 100)
    salts = [[bucket(salt, unit) for unit in units[:100]] for salt in ("a", "b")]
    assert salts[0] != salts[1]


def owned(spans) -> list[str]:
    """The arm of each bucket."""
    found = [""] * BUCKETS
    for arm, ranges in spans.items():
        for low, high in ranges:
            found[low:high] = [arm] * (high - low)
    assert "" not in found
    return found


SHARES = st.lists(st.integers(0, 3_300), min_size=3, max_size=3).map(
    lambda n: {CHAMPION: 100 - sum(n) / 100, **dict(zip("abc", (x / 100 for x in n), strict=True))}
)


@settings(max_examples=40, deadline=None)
@given(st.lists(SHARES, min_size=2, max_size=5))
def test_units_leave_only_arms_that_shrink_for_arms_that_grow(history):
    spans = allot({}, history[0])
    for before, after in pairwise(history):
        moved = allot(spans, after)
        for old, new in set(zip(owned(spans), owned(moved), strict=True)):
            assert old == new or (after[old] < before[old] and after[new] > before[new])
        counts = Counter(owned(moved))
        for arm, percent in after.items():
            assert counts[arm] == pytest.approx(percent * 100, abs=1.5)
        spans = moved


def test_an_arm_that_grows_takes_from_the_champion_alone():
    first = allot({}, {CHAMPION: 70, "a": 20, "b": 10})
    second = allot(first, {CHAMPION: 40, "a": 50, "b": 10})
    pairs = set(zip(owned(first), owned(second), strict=True))
    assert pairs == {(CHAMPION, CHAMPION), (CHAMPION, "a"), ("a", "a"), ("b", "b")}


def test_shares_that_no_bucket_divides_are_whole_all_the_same():
    for shares in ({"a": 100 / 3, "b": 100 / 3}, {"a": 33.335, "b": 33.335, "c": 33.33}):
        rest = {CHAMPION: 100 - sum(shares.values())}
        assert len(owned(allot({}, rest | shares))) == BUCKETS
    gone = allot(allot({}, {CHAMPION: 50, "a": 50}), {CHAMPION: 100})
    assert gone == {CHAMPION: ((0, BUCKETS),)}


@pytest.mark.parametrize(
    ("spans", "words"),
    [(((0, 7_000),), "bucket 7000 is in no arm"), (((0, 9_000),), "bucket 8000 is in two arms")],
)
def test_every_bucket_is_in_one_arm(tmp_path, image, spans, words):
    routes = routes_of((image("plain"), 80.0), (image("better"), 20.0))
    champion, candidate = routes.routes
    arms = replace(champion, buckets=spans), replace(candidate, buckets=((8_000, BUCKETS),))
    with pytest.raises(DeclarationError, match=words):
        write_routes(tmp_path, replace(routes, routes=arms))


def test_routes_that_say_the_same_are_not_written_again(tmp_path, image):
    routes = routes_of((image("plain"), 100.0))
    write_routes(tmp_path, routes)
    before = (tmp_path / "returns.json").stat()
    write_routes(tmp_path, routes)
    after = (tmp_path / "returns.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
