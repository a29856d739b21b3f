"""Each function of the pipeline on a few rows: `onward test` runs these.

A row holds what matters to the test; columns left out are NULL.
"""

import pipeline

import onward as ow

WEATHER = dict.fromkeys(("wind_speed", "precip", "visib", "pressure", "humid"), 0.0)


def test_the_calendar_is_read_from_the_scheduled_time():
    ow.given(
        request=[
            {"scheduled_at": "2013-01-01T10:15:00Z"},
            {"scheduled_at": "2013-12-29T00:00:00Z"},
        ]
    ).expect(
        pipeline.calendar,
        [{"minute_of_day": 615, "weekday": 1}, {"minute_of_day": 0, "weekday": 6}],
    )


def test_it_freezes_only_with_precipitation():
    request = [
        {**WEATHER, "distance": 500.0, "temp": temp, "precip": precip}
        for temp, precip in [(30.0, 0.1), (30.0, 0.0), (40.0, 0.1)]
    ]
    ow.given(request=request).expect(
        pipeline.conditions,
        [{"freezing": True}, {"freezing": False}, {"freezing": False}],
        ordered=True,
    )


def test_a_departure_sees_the_hour_before():
    ow.given(
        flights=[{"flight_id": "a", "origin": "JFK", "scheduled_at": "2013-01-01 10:15:00"}],
        weather=[
            {**WEATHER, "origin": "JFK", "observed_at": "2013-01-01 09:00:00", "temp": 39.0},
            {**WEATHER, "origin": "JFK", "observed_at": "2013-01-01 10:00:00", "temp": 41.0},
            {**WEATHER, "origin": "EWR", "observed_at": "2013-01-01 09:00:00", "temp": 12.0},
        ],
    ).expect(pipeline.departures, [{"flight_id": "a", "temp": 39.0}])


def test_a_carriers_delays_are_summed_as_the_records_came_in():
    def flight(delay, scheduled, recorded):
        return {
            "carrier": "UA", "arr_delay": delay,
            "scheduled_at": scheduled, "recorded_at": recorded,
        }  # fmt: skip

    ow.given(
        flights=[
            flight(20, "2013-01-01", "2013-01-02"),
            flight(0, "2013-01-01", "2013-01-02"),
            flight(None, "2013-01-01", "2013-01-02"),
            flight(16, "2013-01-20", "2013-01-21"),
        ]
    ).expect(
        pipeline.carrier_delays,
        [
            {"available_at": "2013-01-02", "late_week": 0.5, "late_month": 0.5},
            {"available_at": "2013-01-21", "late_week": 1.0, "late_month": 2 / 3},
        ],
    )
