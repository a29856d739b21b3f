"""The pipeline's functions are plain functions: small tables in, small tables out."""

import ibis
import pandas as pd
import pipeline
import pytest


def times(*texts):
    return pd.to_datetime(pd.Series(texts))


def test_the_calendar_is_read_from_the_scheduled_time():
    features = pipeline.calendar.function(times("2013-01-01T10:15:00Z", "2013-12-29T00:00:00Z"))
    assert list(features["minute_of_day"]) == [615, 0]
    assert list(features["weekday"]) == [1, 6]


def test_it_freezes_only_with_precipitation():
    one = pd.Series([1.0, 1.0, 1.0])
    features = pipeline.conditions.function(
        temp=pd.Series([30.0, 30.0, 40.0]), precip=pd.Series([0.1, 0.0, 0.1]),
        wind_speed=one, visib=one, pressure=one, humid=one, distance=one,
    )  # fmt: skip
    assert list(features["freezing"]) == [True, False, False]


def test_a_departure_sees_the_hour_before():
    flights = ibis.memtable(
        {"flight_id": ["a"], "origin": ["JFK"], "scheduled_at": times("2013-01-01 10:15:00")}
    )
    weather = ibis.memtable(
        {
            "origin": ["JFK", "JFK", "EWR"],
            "observed_at": times(
                "2013-01-01 09:00:00", "2013-01-01 10:00:00", "2013-01-01 09:00:00"
            ),
            "temp": [39.0, 41.0, 12.0],
        }
        | {name: [0.0] * 3 for name in ("wind_speed", "precip", "visib", "pressure", "humid")}
    )
    (departure,) = pipeline.departures.function(flights, weather).to_pandas().itertuples()
    assert (departure.flight_id, departure.temp) == ("a", 39.0)


def test_a_carriers_delays_are_summed_as_the_records_came_in():
    flights = ibis.memtable(
        {
            "carrier": ["UA", "UA", "UA", "UA"],
            "arr_delay": [20, 0, None, 16],
            "scheduled_at": times("2013-01-01", "2013-01-01", "2013-01-01", "2013-01-20"),
            "recorded_at": times("2013-01-02", "2013-01-02", "2013-01-02", "2013-01-21"),
        }
    )
    rates = pipeline.carrier_delays.function(flights).to_pandas().sort_values("available_at")
    first, second = rates.itertuples()
    assert (first.late_week, first.late_month) == (0.5, 0.5)
    assert second.late_week == 1.0
    assert second.late_month == pytest.approx(2 / 3)
