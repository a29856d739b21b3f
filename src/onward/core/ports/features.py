"""Features at request time: the online store, and a model's on-demand functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from onward.core.records import FeaturePlan, ViewPlan

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class OnlineStore(Protocol):
    """The newest feature row per view version and entity."""

    def write(self, view: ViewPlan, rows: pa.Table, *, mark: str | None = None) -> int:
        """Upsert rows (entity columns, ``event_time``, features); return how many were newer.

        An older row never overwrites a newer one. `mark` says how far the view is written now,
        in the writer's own words; it commits with the rows.
        """
        ...

    def mark(self, view: ViewPlan) -> str | None:
        """Return the mark that the view's last marked write left, or None."""
        ...

    def read(
        self, view: ViewPlan, entities: Sequence[tuple[Any, ...]], at: datetime
    ) -> Sequence[tuple[Any, ...] | None]:
        """Return each entity's features in `view.columns` order; None if missing or past TTL."""
        ...

    def close(self) -> None: ...


class RequestFeatures(Protocol):
    """A model's on-demand features: one object for training and for the gateway, pickled with it.

    The features room makes it; who serves a model calls it through this port.
    """

    @property
    def plan(self) -> FeaturePlan: ...

    def columns(self, request: Mapping[str, Sequence[Any]]) -> Mapping[str, np.ndarray]:
        """Compute every on-demand feature for n rows given as columns of request values.

        Values may be JSON's (text for times) or already typed. Returns arrays of shape (n,),
        float64 for ``double`` columns and object (str or None) for ``string`` columns.

        Raises
        ------
        DataError
            A request column is missing or a value is not of its declared type.
        """
        ...
