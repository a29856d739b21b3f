"""Routes: whole, sticky, and replaced at once."""

from __future__ import annotations

import pytest
from gateway_site import routes_of
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.core.errors import CorruptError, DeclarationError
from onward.stages.serve.routes import BUCKETS, bucket, read_routes, thresholds, write_routes


def to_candidate(unit: str, routes) -> bool:
    """Whether the unit goes to the candidate."""
    [(end, _), _] = thresholds(routes.routes)
    return bucket(routes.salt, unit) >= end


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
        now = {unit for unit in units if to_candidate(unit, routes)}
        assert before <= now
        before = now


def test_the_share_is_what_was_asked_for(image):
    units = [f"unit-{i}" for i in range(20_000)]
    for percent in (0.0, 0.01, 5.0, 50.0, 100.0):
        routes = routes_of((image("plain"), 100 - percent), (image("better"), percent))
        found = sum(to_candidate(unit, routes) for unit in units) / len(units)
        assert found == pytest.approx(percent / 100, abs=0.012)
        assert thresholds(routes.routes)[1][0] == BUCKETS
    salts = [[bucket(salt, unit) for unit in units[:100]] for salt in ("a", "b")]
    assert salts[0] != salts[1]
