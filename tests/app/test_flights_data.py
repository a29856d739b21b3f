import csv
import importlib.util
from datetime import UTC, datetime, timedelta

import pytest

from onward.app import flights_data
from onward.core.errors import NotFoundError

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def rows(folder, name):
    found = []
    for path in sorted((folder / "data" / name).glob("*.csv")):
        with path.open() as file:
            found += list(csv.DictReader(file))
    return found


def moment(text):
    return datetime.fromisoformat(text)


def test_history_and_deliveries_together_are_the_year_each_row_once(tmp_path):
    cut, end = NEW_YEAR + 364 * DAY, NEW_YEAR + 370 * DAY
    flights_data.write_history(tmp_path, cut)
    flights_data.deliver(tmp_path, cut, end)
    flights, weather = rows(tmp_path, "flights"), rows(tmp_path, "weather")
    assert len({f["flight_id"] for f in flights}) == len(flights) == 336_776
    assert len({(w["origin"], w["observed_at"]) for w in weather}) == len(weather) == 26_115
    assert sum(not f["arr_delay"] for f in flights) == 9_430
    assert sum(not f["tailnum"] for f in flights) == 2_512
    assert all(f["scheduled_at"] <= f["recorded_at"] for f in flights)


@pytest.mark.parametrize("days", [1, 2, 7])
def test_a_record_waits_for_the_first_delivery_after_the_arrival(tmp_path, days):
    every = days * DAY
    written = flights_data.deliver(tmp_path, NEW_YEAR, NEW_YEAR + 14 * DAY, every=every)
    assert [path.name for path in written] == 2 * ["2013-01-15T0000Z.csv"]
    for flight in rows(tmp_path, "flights"):
        recorded, scheduled = moment(flight["recorded_at"]), moment(flight["scheduled_at"])
        assert (recorded - flights_data.START) % every == timedelta(0)
        if flight["arr_delay"]:
            landed = scheduled + timedelta(minutes=int(flight["dep_delay"]))
            assert landed < recorded < landed + every + DAY
    for hour in rows(tmp_path, "weather"):
        assert moment(hour["recorded_at"]) - moment(hour["observed_at"]) == timedelta(minutes=5)


def test_a_known_flight_lands_when_it_landed(tmp_path):
    flights_data.deliver(tmp_path, NEW_YEAR, NEW_YEAR + 2 * DAY, every=timedelta(minutes=1))
    flight = next(f for f in rows(tmp_path, "flights") if f["flight_id"].startswith("UA1545-EWR"))
    assert flight["scheduled_at"] == "2013-01-01T10:15:00Z"
    assert flight["recorded_at"] == "2013-01-01T14:30:00Z"  # 8:30 in Houston


def test_between_deliveries_nothing_is_written(tmp_path):
    noon = NEW_YEAR + DAY / 2
    assert flights_data.deliver(tmp_path, NEW_YEAR, noon) == []
    assert not (tmp_path / "data").exists()


def test_a_delivery_again_writes_the_same_file(tmp_path):
    (first, _) = flights_data.deliver(tmp_path, NEW_YEAR, NEW_YEAR + 2 * DAY)
    content = first.read_bytes()
    (second, _) = flights_data.deliver(tmp_path, NEW_YEAR, NEW_YEAR + 2 * DAY)
    assert (first, content) == (second, second.read_bytes())
    assert sorted(p.name for p in first.parent.iterdir()) == [first.name]


def test_requests_are_in_order_and_carry_the_last_hours_weather(tmp_path):
    start, end = NEW_YEAR + 30 * DAY, NEW_YEAR + 31 * DAY
    asked = flights_data.requests(start, end)
    times = [moment(r["scheduled_at"]) for r in asked]
    assert times == sorted(times)
    assert all(start <= t < end for t in times)

    flights_data.write_history(tmp_path, NEW_YEAR + 40 * DAY)
    flown = rows(tmp_path, "flights")
    scheduled = {f["flight_id"] for f in flown if start <= moment(f["scheduled_at"]) < end}
    assert {r["flight_id"] for r in asked} == scheduled
    weather = {(w["origin"], w["observed_at"]): w for w in rows(tmp_path, "weather")}
    for request in asked:
        hour = moment(request["scheduled_at"]).replace(minute=0) - timedelta(hours=1)
        observed = weather[request["origin"], f"{hour:%Y-%m-%dT%H:%M:%SZ}"]
        assert request["wind_speed"] == pytest.approx(float(observed["wind_speed"]))
        assert (request["pressure"] is None) == (observed["pressure"] == "")


def test_without_the_package_the_next_step_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    flights_data._year.cache_clear()
    with pytest.raises(NotFoundError, match=r"onward\[demo\]"):
        flights_data.write_history(tmp_path, NEW_YEAR + DAY)
    flights_data._year.cache_clear()
