"""Windowed aggregations: declared once, computed whole or for what new rows touch, equal in both.

The value of a feature at a moment ``t`` is the aggregate over the entity's rows with event time in
``(t - over, t]``. It changes when a row arrives and when one leaves its window, so these are the
moments (each rounded up to a multiple of `every`) for which the view has rows. As with every view,
a row says when it could be known: rows that arrive late make later versions of the moments that
they touch, and what was known before stays. See `windows_query` for the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from onward.core.clock import duration
from onward.core.declarations import require_name
from onward.core.declared import here
from onward.core.errors import DataError, DeclarationError, Location, unknown_name

if TYPE_CHECKING:
    import ibis.expr.types as ir

Function = Literal["count", "sum", "mean", "min", "max", "std", "quantile", "distinct", "last"]

_MINUTE: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HINT: Final = "ow.window.mean('amount', over='30d'), ow.window.count(over='7d'), …"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregation:
    """One windowed feature: a function of a column's values within a window.

    `q` is the quantile's level. `column` is None for ``count``, which counts rows.
    """

    name: str
    function: Function
    column: str | None
    over: timedelta
    q: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a source's row reaches: the view's rows of the same entity, from its event time on.

    A view row at ``t`` depends on the entity's rows in ``(t - span, t]`` and on no others. So new
    rows touch only what lies past the first of them, and this needs only what lies within reach.
    A row changes the view at its event time, and when `overs` have passed since, each rounded up
    to a multiple of `every`: the view's rows are for such moments, and for none to come.
    """

    source: str
    event_time: str
    span: timedelta
    overs: tuple[timedelta, ...]
    every: timedelta | None

    def due(self, before: datetime, now: datetime) -> bool:
        """Tell whether a moment may lie between the last publication and now.

        Without a grid any time is a moment; then they are caught up with once a minute.
        """
        if self.every is None:
            return now - before >= _MINUTE
        return (now - _EPOCH) // self.every > (before - _EPOCH) // self.every


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """What a windowed view computes; calling it with the source's table gives the view's table."""

    name: str
    entity: tuple[str, ...]
    event_time: str
    available_at: str
    every: timedelta | None
    aggregations: tuple[Aggregation, ...]

    @property
    def span(self) -> timedelta:
        """How long a row stays in the longest window, its last moment included."""
        longest = max(aggregation.over for aggregation in self.aggregations)
        return longest + (self.every or timedelta(0)) + timedelta(microseconds=1)

    def table(self, source: ir.Table, location: Location | None) -> ir.Table:
        """Return the view's rows for a source's rows, unevaluated.

        Raises
        ------
        DataError
            The source lacks a column.
        """
        from onward.stages.features.windows_query import query

        read = dict.fromkeys(a.column for a in self.aggregations if a.column is not None)
        for column in (*self.entity, self.event_time, self.available_at, *read):
            if column not in source.columns:
                what, expected = unknown_name("column", column, source.columns)
                raise DataError(
                    f"feature view {self.name!r}: {what} in {source.get_name()!r}",
                    expected=expected,
                    location=location,
                )
        backend: Any = source.get_backend()
        relation = f"_windows_{self.name}"
        text = query(self, source.get_name())
        backend.con.execute(f'CREATE OR REPLACE TEMP VIEW "{relation}" AS {text}')
        found: ir.Table = backend.table(relation)
        return found


class window:  # noqa: N801 (a word of the pipeline file, used as ow.window.mean)
    """Aggregations over the time before each moment, for `onward.windowed_view`.

    Each takes the column, the window's length `over` (``"30d"``), and, if need be, the feature's
    `name`; unless given it says what is computed, such as ``mean_amount_30d``.
    """

    @staticmethod
    def count(*, over: str, name: str | None = None) -> Aggregation:
        """How many rows there were; 0 without any."""
        return _aggregation("count", None, over, name)

    @staticmethod
    def sum(column: str, *, over: str, name: str | None = None) -> Aggregation:
        """The values' sum; missing without any."""
        return _aggregation("sum", column, over, name)

    @staticmethod
    def mean(column: str, *, over: str, name: str | None = None) -> Aggregation:
        """The values' mean."""
        return _aggregation("mean", column, over, name)

    @staticmethod
    def min(column: str, *, over: str, name: str | None = None) -> Aggregation:
        """The least value."""
        return _aggregation("min", column, over, name)

    @staticmethod
    def max(column: str, *, over: str, name: str | None = None) -> Aggregation:
        """The greatest value."""
        return _aggregation("max", column, over, name)

    @staticmethod
    def std(column: str, *, over: str, name: str | None = None) -> Aggregation:
        """The values' sample standard deviation; missing for fewer than two."""
        return _aggregation("std", column, over, name)

    @staticmethod
    def distinct(column: str, *, over: str, name: str | None = None) -> Aggregation:
        """How many different values there were, NULL aside; 0 without any."""
        return _aggregation("distinct", column, over, name)

    @staticmethod
    def last(column: str, *, over: str, name: str | None = None) -> Aggregation:
        """The newest value that is not NULL; of rows with one time the greatest."""
        return _aggregation("last", column, over, name)

    @staticmethod
    def quantile(column: str, q: float, *, over: str, name: str | None = None) -> Aggregation:
        """The values' quantile at level `q`, interpolated (Hyndman and Fan 1996, type 7)."""
        if not 0 <= q <= 1:
            raise DeclarationError(
                f"{q!r} is no level of a quantile",
                expected="a number from 0 to 1, such as 0.9",
                location=here(),
            )
        return _aggregation("quantile", column, over, name, q=float(q))


def _aggregation(
    function: Function, column: str | None, over: str, name: str | None, *, q: float = 0.5
) -> Aggregation:
    location = here()
    level = f"{100 * q:g}".replace(".", "_")
    word = f"p{level}" if function == "quantile" else function
    said = "_".join(part for part in (word, column, over.replace(" ", "")) if part)
    return Aggregation(
        name=require_name(name or said, "feature", location),
        function=function,
        column=column,
        over=duration(over, location),
        q=q,
    )


def require_aggregations(
    name: str, features: Sequence[Any], location: Location | None
) -> tuple[Aggregation, ...]:
    """Return `features` if each is an aggregation, and no two share a name.

    Raises
    ------
    DeclarationError
        There is none, one is something else, or two have one name.
    """
    for feature in features:
        if not isinstance(feature, Aggregation) or feature.function not in get_args(Function):
            raise DeclarationError(
                f"{feature!r} is no aggregation of windowed view {name!r}",
                expected=_HINT,
                location=location,
            )
    names = [feature.name for feature in features]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None or not names:
        raise DeclarationError(
            f"windowed view {name!r} has two features {twice!r}"
            if twice
            else f"windowed view {name!r} has no features",
            expected="a name of its own for each: name='…'" if twice else f"features=[{_HINT}]",
            location=location,
        )
    return tuple(features)
