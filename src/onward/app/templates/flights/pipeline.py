"""Will this flight arrive more than fifteen minutes late? Every departure from New York, 2013."""

import ibis
from ibis import _

import onward as ow

# Flights are about nobody. A source about people says by subject= which column names them, and
# `onward erase` goes by it.
flights = ow.Source(
    "flights",
    ow.files("data/flights/*.csv"),
    key=["flight_id"],
    event_time="scheduled_at",
    available_at="recorded_at",
    checks=[
        ow.check("known origin", _.origin.isin(["EWR", "JFK", "LGA"])),
        ow.check("distance is plausible", (_.distance > 0) & (_.distance < 6_000)),
        ow.check("delay is plausible", _.arr_delay.isnull() | _.arr_delay.between(-120, 1_500)),
        ow.check("tail number is known", _.tailnum.notnull()),
        ow.batch_check("enough rows", _.count() > 100),
        ow.batch_check("most flights arrive", _.arr_delay.isnull().mean() < 0.5),
    ],
)

weather = ow.Source(
    "weather",
    ow.files("data/weather/*.csv"),
    key=["origin", "observed_at"],
    event_time="observed_at",
    available_at="recorded_at",
    checks=[
        ow.check("humidity is a percentage", _.humid.isnull() | _.humid.between(0, 100)),
        ow.check("wind is no typing error", _.wind_speed.isnull() | (_.wind_speed < 200)),
    ],
)


@ow.transform(checks=[ow.check("one row per flight", _.flight_id.notnull())])
def departures(flights, weather):
    """Each flight with the last observation before its scheduled hour, as a dispatcher has it."""
    observed = weather.select(
        "origin", "temp", "wind_speed", "precip", "visib", "pressure", "humid",
        hour=_.observed_at.truncate("h") + ibis.interval(hours=1),
    )  # fmt: skip
    flown = flights.mutate(hour=_.scheduled_at.truncate("h"))
    return flown.left_join(observed, ["origin", "hour"]).drop("hour", "origin_right", "hour_right")


def delay_rates(flights, *entity):
    """Daily counts as each day's record came in, summed over the week and the month before."""
    daily = (
        flights.filter(_.arr_delay.notnull())
        .group_by(*entity, available_at=_.recorded_at)
        .aggregate(
            event_time=_.scheduled_at.max(),
            flown=_.count(),
            late=(_.arr_delay > 15).sum(),
            delay=_.arr_delay.clip(-30, 180).sum(),
        )
    )
    day = daily.available_at.epoch_seconds()
    week = ibis.window(group_by=entity, order_by=day, range=(-7 * 86_400, 0))
    month = ibis.window(group_by=entity, order_by=day, range=(-28 * 86_400, 0))
    return daily.select(
        *entity,
        "event_time",
        "available_at",
        late_week=_.late.sum().over(week) / _.flown.sum().over(week),
        late_month=_.late.sum().over(month) / _.flown.sum().over(month),
        delay_week=_.delay.sum().over(week) / _.flown.sum().over(week),
    )


@ow.feature_view(entity="carrier", ttl="30d")
def carrier_delays(flights):
    return delay_rates(flights, "carrier")


@ow.feature_view(entity=["origin", "dest"], ttl="30d")
def route_delays(flights):
    return delay_rates(flights, "origin", "dest")


@ow.on_demand
def calendar(scheduled_at):
    minutes = scheduled_at.dt.hour * 60 + scheduled_at.dt.minute
    return {
        "minute_of_day": minutes,
        "weekday": scheduled_at.dt.day_of_week,
    }


@ow.on_demand
def conditions(temp, wind_speed, precip, visib, pressure, humid, distance):
    return {
        "temp": temp,
        "wind_speed": wind_speed,
        "precip": precip,
        "visib": visib,
        "pressure": pressure,
        "humid": humid,
        "distance": distance,
        "freezing": (temp < 32) & (precip > 0),
    }


@ow.label(key="flight_id", event_time="scheduled_at", available_at="recorded_at")
def late(departures):
    flown = departures.filter(_.arr_delay.notnull())
    return flown.select(
        "flight_id", "scheduled_at", "recorded_at", "carrier", "origin", "dest", "distance",
        "temp", "wind_speed", "precip", "visib", "pressure", "humid",
        late=(_.arr_delay > 15).cast("int8"),
    )  # fmt: skip


@ow.model(
    features=[carrier_delays, route_delays, calendar, conditions],
    label=late,
    task="binary",
    holdout=0.12,
    slices=["origin", "carrier"],
    search={
        "max_leaf_nodes": ow.integer(7, 63, log=True),
        "learning_rate": ow.real(0.02, 0.3, log=True),
        "l2": ow.real(1e-3, 10, log=True),
    },
)
def flight_delay(X, y, max_leaf_nodes=15, learning_rate=0.06, l2=1.0):
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=150,
        max_leaf_nodes=max_leaf_nodes,
        learning_rate=learning_rate,
        l2_regularization=l2,
        random_state=0,
    ).fit(X, y)


pipeline = ow.Pipeline(
    model=flight_delay,
    gates=[
        ow.at_least("roc_auc", 0.62),
        ow.beats_champion("roc_auc"),
        ow.fair("origin", "selection_rate_ratio", at_least=0.3),
        ow.robust(noise=0.05, max_drop=0.02),
        ow.latency(p99_ms=25),
    ],
    release=ow.Canary(steps=[5, 25, 50], bake="2d", minimum=300, deadline="28d"),
    monitors=[
        ow.operational(max_error_rate=0.01),
        ow.drift(limit=0.2),
        ow.performance("roc_auc", max_drop=0.03),
        ow.skew(),
        ow.freshness("14d"),
    ],
    every="7d",
    on_breach=ow.retrain(cooldown="21d", persist=2),
)
