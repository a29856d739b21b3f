"""The query of a windowed view: each moment at which an aggregate changes, with its values.

What is computed
    `_events` are the source's rows, `_ticks` the moments: for each row, the first multiple of
    `every` at or after its event time, and at or after each window's end. A moment's final version
    counts all rows within reach and could be known when the last of them was. It is found by
    window functions over rows and moments in one order, hence in O(n log n) whatever the windows
    hold.
Late rows
    A row is late for a moment if it became known after it. Before each late row was known the
    moment had another version, and where one was due in time (a punctual row arrived or left), it
    had one at the moment itself. These versions are joined row by row: they are few.
"""

# ruff: noqa: S608 (identifiers are quoted)
from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from onward.core.sql import identifier
from onward.stages.features.sql import comma, prefixed, same

if TYPE_CHECKING:
    from onward.stages.features.windows import Aggregation, Windows

_ORDER: Final = "epoch_us(_t)::HUGEINT * 100000000000000000 + epoch_us(_a)"


def query(windows: Windows, source: str) -> str:
    """Return the query; its columns are the entity's, ``event_time``, ``available_at``, and the
    features. Rows without an entity or a time are left out.
    """
    entity = comma(windows.entity)
    reach = f"RANGE BETWEEN {_interval(windows.span)} PRECEDING AND CURRENT ROW"
    frames = {
        over: f"(PARTITION BY {entity} ORDER BY _t RANGE BETWEEN"
        f" {_interval(over - timedelta(microseconds=1))} PRECEDING AND CURRENT ROW)"
        for over in _overs(windows)
    }
    final = ", ".join(
        f"{_call(a, '_event')} OVER {frames[a.over]} AS {identifier(a.name)}"
        for a in windows.aggregations
    )
    joined = ", ".join(
        f"{_call(a, f'x._t > v._tick - {_interval(a.over)}')} AS {identifier(a.name)}"
        for a in windows.aggregations
    )
    features = comma(a.name for a in windows.aggregations)
    span = _interval(windows.span)
    return f"""
WITH _events AS ({_events(windows, source)}),
_ticks AS ({_ticks(windows)}),
_line AS (
    SELECT *, TRUE AS _event, NULL::BOOLEAN AS _punctual FROM _events
    UNION ALL BY NAME
    SELECT {entity}, _tick AS _t, FALSE AS _event, _punctual FROM _ticks
),
_final AS (
    SELECT {entity}, _t AS _tick, _event, _punctual,
        max(_a) OVER (PARTITION BY {entity} ORDER BY _t {reach}) AS _known, {final}
    FROM _line
),
_versions AS (
    SELECT DISTINCT {prefixed("f", windows.entity)}, f._tick, x._a AS _known
    FROM _final AS f JOIN _events AS x ON {same("f", "x", windows.entity)}
        AND x._t > f._tick - {span} AND x._t <= f._tick AND x._a > f._tick AND x._a < f._known
    WHERE NOT f._event AND f._known > f._tick
    UNION
    SELECT {prefixed("f", windows.entity)}, f._tick, max(x._a)
    FROM _final AS f JOIN _events AS x ON {same("f", "x", windows.entity)}
        AND x._t > f._tick - {span} AND x._t <= f._tick AND x._a <= f._tick
    WHERE NOT f._event AND f._known > f._tick AND f._punctual
    GROUP BY {prefixed("f", windows.entity)}, f._tick
)
SELECT {entity}, _tick AS event_time, _known AS available_at, {features}
FROM _final WHERE NOT _event
UNION ALL
SELECT {prefixed("v", windows.entity)}, v._tick, v._known, {joined}
FROM _versions AS v JOIN _events AS x ON {same("v", "x", windows.entity)}
    AND x._t > v._tick - {span} AND x._t <= v._tick AND x._a <= v._known
GROUP BY {prefixed("v", windows.entity)}, v._tick, v._known"""


def _events(windows: Windows, source: str) -> str:
    """Return the rows that count: their entity, times and values, these as ``_v_<column>``."""
    columns = dict.fromkeys(a.column for a in windows.aggregations if a.column is not None)
    values = "".join(f", {identifier(c)} AS {_value(c)}" for c in columns)
    # Of rows with one time, the greatest value is the last.
    lasts = dict.fromkeys(a.column for a in windows.aggregations if a.function == "last")
    peers = comma((*windows.entity, windows.event_time, windows.available_at))
    values += "".join(
        f", max({identifier(c)}) OVER (PARTITION BY {peers}) AS {_last(c)}" for c in lasts if c
    )
    times = f"{identifier(windows.event_time)} AS _t, {identifier(windows.available_at)} AS _a"
    required = (*windows.entity, windows.event_time, windows.available_at)
    present = " AND ".join(f"{identifier(column)} IS NOT NULL" for column in required)
    return (
        f"SELECT {comma(windows.entity)}, {times}{values} FROM {identifier(source)} WHERE {present}"
    )


def _ticks(windows: Windows) -> str:
    """Return the moments, and whether some row made each in time: one known by then."""
    entity = comma(windows.entity)
    moments = ["_t", *(f"_t + {_interval(over)}" for over in _overs(windows))]
    made = " UNION ALL ".join(
        f"SELECT {entity}, {_rounded(moment, windows.every)} AS _tick, _a FROM _events"
        for moment in moments
    )
    return (
        f"SELECT {entity}, _tick, bool_or(_a <= _tick) AS _punctual FROM ({made})"
        f" GROUP BY {entity}, _tick"
    )


def _rounded(moment: str, every: timedelta | None) -> str:
    """Return a moment rounded up to a multiple of `every` since 1970, in UTC."""
    if every is None:
        return moment
    step = every // timedelta(microseconds=1)
    # Not division, which truncates towards zero: a remainder has the sign of what was divided.
    past = f"(epoch_us({moment}) % {step} + {step}) % {step}"
    return f"{moment} + to_microseconds(({step} - {past}) % {step})"


def _call(aggregation: Aggregation, where: str) -> str:
    column = _value(aggregation.column) if aggregation.column is not None else ""
    calls = {
        "count": "count(*)",
        "sum": f"sum({column})",
        "mean": f"avg({column})",
        "min": f"min({column})",
        "max": f"max({column})",
        "std": f"stddev_samp({column})",
        "quantile": f"quantile_cont({column}, {aggregation.q!r})",
        "distinct": f"count(DISTINCT {column})",
        "last": f"arg_max({_last(aggregation.column or '')}, {_ORDER})",
    }
    return f"{calls[aggregation.function]} FILTER (WHERE {where})"


def _overs(windows: Windows) -> list[timedelta]:
    return sorted({aggregation.over for aggregation in windows.aggregations})


def _value(column: str) -> str:
    return identifier(f"_v_{column}")


def _last(column: str) -> str:
    return identifier(f"_l_{column}")


def _interval(length: timedelta) -> str:
    return f"to_microseconds({length // timedelta(microseconds=1)})"
