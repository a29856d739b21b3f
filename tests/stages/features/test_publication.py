"""Publishing: versions by content, append-only rows, the newest online."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flight_shop import DAY, START, Shop, delays, flights
from ibis import _

import onward as ow
from onward.core.errors import DataError, NotFoundError
from onward.stages.features.config import FeatureView


def test_rows_are_stored_once_and_the_newest_known_is_served(shop: Shop) -> None:
    rows = flights(("UA", 0, 1, 1.0), ("UA", 1, 2, 2.0), ("AA", 0, 1, 3.0), ("UA", 5, 9, 9.0))
    found = shop.publish(delays, rows, day=3)
    assert (found.ref, found.rows_added, found.online_written) == ("features:delays@1", 4, 2)
    assert found.view.columns == ("delay",)
    assert found.view.ttl_s == 30 * 86_400
    assert shop.served(found, "UA", 3) == (2.0,), "what is known on day 9 is not known on day 3"
    assert shop.served(found, "AA", 40) is None
    more = flights(("UA", 0, 1, 1.0), ("UA", 1, 2, 2.0),
                   ("AA", 0, 1, 3.0), ("UA", 5, 9, 9.0), ("AA", 3, 4, 4.0))  # fmt: skip
    again = shop.publish(delays, more, day=4)
    assert (again.rows_added, again.online_written) == (1, 1)
    assert shop.served(found, "AA", 4) == (4.0,)
    assert len(shop.stored()) == 5


def test_nothing_is_evaluated_while_inputs_and_code_are_as_they_were(shop: Shop) -> None:
    calls = []

    @ow.feature_view(entity="carrier")
    def counted(flights):
        calls.append(1)
        return flights.select("carrier", event_time=_.at, available_at=_.known, delay=_.delay)

    inputs = shop.holds(flights(("UA", 0, 1, 1.0)))
    shop.clock.advance(START + 2 * DAY)
    first = shop.again(counted, inputs)
    shop.runs += 1
    again = shop.again(counted, inputs)
    assert len(calls) == 1
    assert (again.snapshot, again.rows_added, again.online_written) == (first.snapshot, 0, 0)
    assert again.view == first.view
    assert again.inputs == first.inputs == (inputs["flights"].ref,)


def test_inputs_that_change_nothing_are_remembered(shop: Shop) -> None:
    first = shop.publish(delays, flights(("UA", 0, 1, 1.0)), day=2)
    again = shop.publish(delays, flights(("UA", 0, 1, 1.0)), day=3)
    assert (again.rows_added, again.online_written) == (0, 0)
    assert again.snapshot != first.snapshot
    assert shop.stored() == [("UA", 0, 1, 1.0)]


def test_a_row_that_becomes_known_later_is_served_from_then_on(shop: Shop) -> None:
    inputs = shop.holds(flights(("UA", 0, 1, 1.0), ("UA", 5, 9, 9.0)))
    shop.clock.advance(START + 2 * DAY)
    found = shop.again(delays, inputs)
    assert shop.served(found, "UA", 9) == (1.0,)
    shop.clock.advance(START + 9 * DAY)
    shop.runs += 1
    assert shop.again(delays, inputs).online_written == 1
    assert shop.served(found, "UA", 9) == (9.0,)


def test_a_corrected_value_is_known_from_its_publication_on(shop: Shop) -> None:
    shop.publish(delays, flights(("UA", 0, 1, 1.0), ("UA", 2, 3, 2.0)), day=4)
    found = shop.publish(delays, flights(("UA", 0, 1, 7.0), ("UA", 2, 3, None)), day=5)
    assert found.rows_added == 2
    assert shop.stored() == [
        ("UA", 0, 1, 1.0), ("UA", 0, 5, 7.0), ("UA", 2, 3, 2.0), ("UA", 2, 5, None),
    ]  # fmt: skip
    assert shop.served(found, "UA", 5) == (None,)
    same = shop.publish(delays, flights(("UA", 0, 1, 7.0), ("UA", 2, 3, None)), day=6)
    assert same.rows_added == 0, "a correction is made once"
    back = shop.publish(delays, flights(("UA", 0, 1, 1.0), ("UA", 2, 3, None)), day=7)
    assert back.rows_added == 1
    assert ("UA", 0, 7, 1.0) in shop.stored()


def test_two_corrections_at_one_moment_are_two_rows(shop: Shop) -> None:
    for delay in (1.0, 2.0, 3.0):
        found = shop.publish(delays, flights(("UA", 0, 1, delay)), day=1)
    assert len(shop.stored()) == 3
    shop.clock.advance(START + 2 * DAY)
    shop.publish(delays, flights(("UA", 0, 1, 3.0)), day=2)
    assert shop.served(found, "UA", 2) == (3.0,)


def test_a_superseded_row_that_changes_is_no_news(shop: Shop) -> None:
    shop.publish(delays, flights(("UA", 0, 1, 1.0), ("UA", 0, 2, 2.0)), day=3)
    found = shop.publish(delays, flights(("UA", 0, 1, 8.0), ("UA", 0, 2, 2.0)), day=4)
    assert found.rows_added == 0
    assert shop.served(found, "UA", 4) == (2.0,)


def test_a_sum_in_another_order_is_no_correction(shop: Shop) -> None:
    shop.publish(delays, flights(("UA", 0, 1, 0.1 + 0.2)), day=2)
    assert shop.publish(delays, flights(("UA", 0, 1, 0.3)), day=3).rows_added == 0


def test_another_definition_is_the_next_version_and_the_old_one_comes_back(shop: Shop) -> None:
    rows = flights(("UA", 0, 1, 1.0))

    @ow.feature_view(entity="carrier", ttl="30d")
    def doubled(flights):
        return flights.select("carrier", event_time=_.at, available_at=_.known, delay=_.delay * 2)

    changed = replace(doubled, name="delays")
    assert shop.publish(delays, rows, day=2).ref == "features:delays@1"
    second = shop.publish(changed, rows, day=3)
    assert second.ref == "features:delays@2"
    assert shop.served(second, "UA", 3) == (2.0,)
    again = shop.publish(delays, flights(("UA", 0, 1, 1.0), ("UA", 1, 2, 5.0)), day=4)
    assert (again.ref, again.rows_added) == ("features:delays@1", 1)
    assert shop.served(second, "UA", 4) == (2.0,)


def test_the_same_code_over_other_columns_is_another_version(shop: Shop) -> None:
    @ow.feature_view(entity="carrier")
    def wide(flights):
        return flights.rename(event_time="at", available_at="known")

    assert shop.publish(wide, flights(("UA", 0, 1, 1.0)), day=2).ref == "features:wide@1"
    more = flights(("UA", 0, 1, 1.0)).append_column("hub", [["EWR"]])
    found = shop.publish(wide, more, day=3)
    assert found.ref == "features:wide@2"
    assert found.view.columns == ("delay", "hub")
    assert shop.served(found, "UA", 3) == (1.0, "EWR")


def test_types_are_stored_as_features_have_them(shop: Shop) -> None:
    @ow.feature_view(entity=["carrier", "day"])
    def typed(flights):
        return flights.select(
            "carrier", day=_.at.day(), event_time=_.at.cast("timestamp"), available_at=_.known,
            late=_.delay > 1, whole=_.delay.cast("int32"), nothing=_.delay / 0, name=_.carrier,
        )  # fmt: skip

    rows = flights(("UA", 0, 1, 2.0), (None, 0, 1, 3.0))
    found = shop.publish(typed, rows, day=2)
    schema = shop.lake.schema("features.typed_v1")
    assert schema is not None
    types = {field.name: str(field.type) for field in schema}
    assert types == {
        "carrier": "string", "day": "int64", "event_time": "timestamp[us, tz=UTC]",
        "available_at": "timestamp[us, tz=UTC]", "late": "double", "whole": "double",
        "nothing": "double", "name": "string", "_in_order": "bool",
    }  # fmt: skip
    assert found.rows_added == 1, "a row without an entity can never be asked for"
    [[served]] = shop.online.read([(found.view, [("UA", 1)])])
    assert served is not None
    assert served[1] == (1.0, 2.0, None, "UA")


def test_a_view_without_rows_has_no_table_yet(shop: Shop) -> None:
    found = shop.publish(delays, flights(), day=1)
    assert (found.snapshot, found.rows_added, found.view.version) == (None, 0, 1)
    assert found.view.columns == ("delay",)
    assert shop.publish(delays, flights(("UA", 0, 1, 1.0)), day=2).ref == "features:delays@1"


def view_of(body: Any) -> FeatureView:
    return ow.feature_view(entity="carrier")(body)


def test_a_missing_availability_says_what_it_is_for(shop: Shop) -> None:
    def leaky(flights):
        return flights.select("carrier", event_time=_.at, availble_at=_.known, delay=_.delay)

    with pytest.raises(DataError) as refused:
        shop.publish(view_of(leaky), flights(("UA", 0, 1, 1.0)), day=2)
    text = str(refused.value)
    assert __file__ in text
    assert "did you mean 'availble_at'?" in text
    assert "available_at=_.recorded_at.max()" in text
    assert "nobody knew yet" in text


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (lambda flights: flights.select(event_time=_.at, available_at=_.known, d=_.delay),
         "no column 'carrier'"),
        (lambda flights: flights.select("carrier", available_at=_.known, d=_.delay),
         "no column 'event_time'"),
        (lambda flights: flights.select("carrier", event_time=_.at, available_at=_.known),
         "has no features"),
        (lambda flights: flights.select("carrier", event_time="x", available_at=_.known, d=1),
         "fails: "),
        (lambda f: f.select("carrier", event_time=_.delay, available_at=_.known, d=_.delay),
         "column 'event_time' of feature view 'view' is float64"),
        (lambda flights: flights.select("carrier", event_time=_.at, available_at=_.known, d=_.at),
         "feature 'd' of feature view 'view' is timestamp"),
        (lambda flights: flights.select(carrier=_.delay, event_time=_.at, available_at=_.known,
                                        d=_.delay),
         "column 'carrier' of feature view 'view' is float64"),
        (lambda flights: flights.select("carrier", event_time=_.at, d=_.delay,
                                        available_at=_.known.nullif(_.known)),
         "1 row of feature view 'view' without available_at"),
        (lambda flights: flights.union(flights).select(
            "carrier", event_time=_.at, available_at=_.known, d=_.delay),
         "gives 2 rows for carrier=UA, event_time=2013-01-01"),
        (lambda flights: flights.select("carrier", event_time=_.at, available_at=_.known,
                                        d=_.carrier.cast("int64")),
         "fails: ConversionException"),
        (lambda flights: flights.nonsense(), "fails: AttributeError"),
        (lambda flights: flights.carier, "expected: did you mean 'carrier'?"),
        (lambda flights: 3, "returns int"),
    ],
)  # fmt: skip
def test_a_view_that_cannot_be_is_refused_where_it_stands(shop: Shop, body: Any, says: str) -> None:
    def view(flights):
        return body(flights)

    with pytest.raises(DataError) as refused:
        shop.publish(view_of(view), flights(("UA", 0, 1, 1.0)), day=2)
    assert says in str(refused.value)
    assert refused.value.location is not None
    assert refused.value.location.file == __file__
    assert not [table for table in shop.lake.tables() if table.startswith("features.")]


def test_an_error_of_ours_passes_through_a_view(shop: Shop) -> None:
    def view(flights):
        raise NotFoundError("this one")

    with pytest.raises(NotFoundError, match="this one"):
        shop.publish(view_of(view), flights(("UA", 0, 1, 1.0)), day=2)


def test_a_parameter_that_names_nothing_is_refused(shop: Shop) -> None:
    def view(flight):
        return flight

    with pytest.raises(NotFoundError, match="did you mean 'flights'"):
        shop.publish(view_of(view), flights(("UA", 0, 1, 1.0)), day=2)


def test_a_backfill_undoes_the_marks_and_the_newest_is_served(shop: Shop) -> None:
    first = flights(("UA", 0, 5, 1.0))
    found = shop.publish(delays, first, day=6)
    assert shop.lake.history("features.delays_v1")[-1].state["view_marked"] == "true"
    shop.publish(delays, flights(("UA", 0, 5, 1.0), ("UA", 3, 4, 2.0)), day=7)
    assert shop.lake.history("features.delays_v1")[-1].state["view_marked"] == "false"
    assert shop.served(found, "UA", 7) == (2.0,)


def test_many_publications_stay_a_few_files_and_lose_nothing(shop: Shop) -> None:
    rows: list[tuple[str | None, int, int, float | None]] = []
    for day in range(25):
        rows.append(("UA", day, day, float(day)))
        found = shop.publish(delays, flights(*rows), day=day)
        assert (found.rows_added, found.online_written) == (1, 1)
        assert shop.served(found, "UA", day) == (float(day),)
    assert shop.stored() == rows
    appended = [s for s in shop.lake.history("features.delays_v1") if "key" in s.summary]
    compacted = [s for s in shop.lake.history("features.delays_v1") if "key" not in s.summary]
    assert (len(appended), len(compacted)) == (25, 1)
    again = shop.again(delays, {"flights": shop.lake.dataset("raw.flights")})
    assert (again.rows_added, again.online_written) == (0, 0)
