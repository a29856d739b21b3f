from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core.clock import ReplayClock, SystemClock, duration, utc
from onward.core.errors import DeclarationError, Location

MOMENTS = st.datetimes(timezones=st.just(UTC))


def test_the_system_clock_is_aware_and_in_utc():
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


@given(MOMENTS, st.lists(MOMENTS))
def test_a_replay_never_goes_back(start, moments):
    clock = ReplayClock(start)
    for moment in moments:
        before = clock.now()
        clock.advance(moment)
        assert clock.now() == max(before, moment)
    assert clock.now() == max([start, *moments])


def test_a_replay_reads_every_zone_as_utc():
    clock = ReplayClock(datetime(2013, 1, 1))  # noqa: DTZ001 (naive on purpose)
    assert clock.now() == datetime(2013, 1, 1, tzinfo=UTC)
    clock.advance(datetime(2013, 1, 1, 7, tzinfo=timezone(timedelta(hours=-5))))
    assert clock.now() == datetime(2013, 1, 1, 12, tzinfo=UTC)


@given(st.datetimes(timezones=st.none() | st.timezones()))
def test_utc_keeps_the_moment(moment):
    found = utc(moment)
    assert found.tzinfo is UTC
    if moment.tzinfo is None:
        assert found.replace(tzinfo=None) == moment
    else:
        assert found == moment.astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("15m", 900),
        ("15 min", 900),
        ("2h", 7200),
        ("1h 30m", 5400),
        ("1d12h", 129_600),
        ("1.5d", 129_600),
        ("1w", 604_800),
        (timedelta(hours=1), 3600),
    ],
)
def test_durations_as_people_write_them(text, seconds):
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "30", "h", "-1d", "0d", "1y", "1d!", "d1", "1d and a bit", timedelta(0)]
)
def test_what_is_no_positive_duration_is_refused(text):
    with pytest.raises(DeclarationError, match="is not a duration") as refused:
        duration(text, Location("pipeline.py", 7))
    assert str(refused.value).startswith("pipeline.py:7")


@given(st.integers(1, 10_000), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_a_duration_is_its_number_of_units(number, unit):
    assert duration(f"{number}{unit}") / duration(f"1{unit}") == pytest.approx(number)
