"""Labels: what was predicted, when, and what turned out to be true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from onward.core.errors import DataError
from onward.core.ports import Lake
from onward.core.records import DatasetRef
from onward.core.wording import counted
from onward.stages.features.columns import plain
from onward.stages.features.config import Label
from onward.stages.features.evaluation import expression, fetch, inputs_of, kind, require, time

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

LABEL: Final = "label"
EVENT_TIME: Final = "event_time"


def labels(
    label: Label,
    *,
    lake: Lake,
    inputs: Mapping[str, DatasetRef],
    since: datetime,
    as_of: datetime,
) -> pa.Table:
    """Return labels of events from `since` on whose truth was available by `as_of`.

    Columns: the key's, ``event_time``, ``available_at``, ``label``; ordered by event time and key.

    Raises
    ------
    DataError
        The label's function fails, or its rows lack a column or stand twice.
    NotFoundError
        The label reads what `inputs` lacks.
    """
    with lake.open(inputs_of(label, inputs)) as backend:
        return spine(label, backend, {}, since=since, as_of=as_of)


def spine(
    label: Label,
    backend: Backend,
    carried: Mapping[str, str],
    *,
    since: datetime | None,
    as_of: datetime,
) -> pa.Table:
    """Return the label's rows known by `as_of`, in the order of event time and key.

    Columns: the key's, those in `carried` (name to what needs it), ``event_time``,
    ``available_at``, ``label``. Times are in UTC, in microseconds.

    Raises
    ------
    DataError
        The label's function fails, its rows lack a column or a value, or a key stands twice.
    """
    given = expression(label, backend)
    wanted = {
        **dict.fromkeys(label.key, "its key"),
        label.event_time: "its event time",
        label.available_at: "when the truth is known",
        label.name: "the label itself: the column has the function's name",
        **carried,
    }
    require(label, given, wanted, "add it to what the label's function selects")
    _refuse_leaks(label, (*label.key, *carried))
    rows = given.select(
        **{column: given[column] for column in (*label.key, *carried)},
        event_time=time(label, given, label.event_time),
        available_at=time(label, given, label.available_at),
        label=given[label.name],
    )
    rows = rows.filter(rows.available_at <= as_of, rows.event_time.fill_null(as_of) <= as_of)
    if since is not None:
        rows = rows.filter(rows.event_time.fill_null(since) >= since)
    found = fetch(label, rows.order_by(EVENT_TIME, *label.key), backend)
    found = plain(found, subject=kind(label), location=label.location)
    _require_values(label, found)
    _require_once(label, found)
    return found


def _refuse_leaks(label: Label, columns: Iterable[str]) -> None:
    """Refuse request columns that tell the truth, or that take a name of the training set's own."""
    for column in columns:
        if column == label.name or (column == label.available_at != label.event_time):
            truth = "the label" if column == label.name else "when the truth is known"
            raise DataError(
                f"{kind(label)}: a feature, key or slice reads {column!r}, which is {truth}",
                expected="columns that are known when the prediction is made",
                location=label.location,
            )
        if column in (LABEL, "available_at") or (column == EVENT_TIME != label.event_time):
            raise DataError(
                f"{kind(label)}: a request column is named {column!r}",
                expected="another name: training sets have a column of their own by this one",
                location=label.location,
            )


def _require_values(label: Label, found: pa.Table) -> None:
    for column in (EVENT_TIME, *label.key, LABEL):
        if missing := found[column].null_count:
            shown = label.name if column == LABEL else column
            raise DataError(
                f"{counted(missing, 'row')} of {kind(label)} without {shown!r}",
                expected="a value in every row whose truth is known",
                next_step=f"leave them out: filter(_.{shown}.notnull())",
                location=label.location,
            )


def _require_once(label: Label, found: pa.Table) -> None:
    counts = found.group_by([*label.key, EVENT_TIME]).aggregate([([], "count_all")])
    if counts.num_rows == found.num_rows:
        return
    example = counts.sort_by([("count_all", "descending")]).slice(0, 1).to_pylist()[0]
    count = example.pop("count_all")
    named = ", ".join(f"{name}={value}" for name, value in example.items())
    raise DataError(
        f"{kind(label)} gives {count} rows for {named}",
        expected=f"one row per {', '.join(label.key)} and event time",
        next_step="choose one of them in the label's function",
        location=label.location,
    )
