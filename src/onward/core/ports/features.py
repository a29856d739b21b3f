"""Features at request time: the online store, and a model's on-demand functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from onward.core.records import FeaturePlan, Materialized, ViewPlan

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Entity: TypeAlias = tuple[Any, ...]
"""The values of a view's entity columns, in its order."""

OnlineRow: TypeAlias = tuple[int, tuple[Any, ...]]
"""A row's event time in microseconds since 1970, and its features in `ViewPlan.columns` order."""

Lookup: TypeAlias = tuple[ViewPlan, Sequence[Entity]]
"""Entities that are asked for in one view."""


class OnlineStore(Protocol):
    """The newest feature row per view version and entity.

    It keeps rows whatever their age: what a row past its time to live is worth is the reader's to
    say, by the view's policy. A store may let go of a row once it reads as one that is not there.
    """

    @property
    def remote(self) -> bool:
        """Whether a read waits for a server: an event loop then reads on a thread beside it."""
        ...

    def write(self, view: ViewPlan, rows: pa.Table, *, mark: Materialized | None = None) -> int:
        """Upsert rows (entity columns, ``event_time``, features); return how many were newer.

        An older row never overwrites a newer one. `mark` says how far the view is written then;
        it commits with the rows or after them, never before.

        Raises
        ------
        UnavailableError
            The server does not answer; the same call again does no harm.
        """
        ...

    def mark(self, view: ViewPlan) -> Materialized | None:
        """Return the mark that the view's last marked write left, or None.

        Raises
        ------
        UnavailableError
            The server does not answer.
        """
        ...

    def read(self, lookups: Sequence[Lookup]) -> Sequence[Sequence[OnlineRow | None]]:
        """Return, for each lookup, each entity's row or None: one round trip for all of them.

        Not for several threads at once.

        Raises
        ------
        UnavailableError
            The server does not answer in time.
        """
        ...

    def remove(self, view: ViewPlan, entities: Sequence[Entity]) -> int:
        """Remove entities' rows; return how many there were.

        Raises
        ------
        UnavailableError
            The server does not answer.
        """
        ...

    def close(self) -> None: ...


class RequestFeatures(Protocol):
    """A model's on-demand features: one object for training and for the gateway, pickled with it.

    The features room makes it; who serves a model calls it through this port.
    """

    @property
    def plan(self) -> FeaturePlan: ...

    @property
    def version(self) -> str:
        """The functions' fingerprint; it is told where they were declared, not where they serve."""
        ...

    def columns(
        self,
        request: Mapping[str, Sequence[Any]],
        features: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    ) -> Mapping[str, np.ndarray]:
        """Compute every on-demand feature for n rows given as columns of request values.

        `features` has what the rows' views gave, named as in the plan; those that functions read
        must be there. Values may be JSON's (text for times) or already typed. Returns arrays of
        shape (n,), float64 for ``double`` columns and object (str or None) for ``string`` columns.

        Raises
        ------
        DataError
            A column is missing or a value is not of its declared type.
        """
        ...
