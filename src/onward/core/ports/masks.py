"""Masks applied: to columns as they are read, and to the values of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from onward.core.records import Mask

if TYPE_CHECKING:
    import pyarrow as pa

MASKS_ENTRY: Final = "onward.infra.masks.masks:open_masks"
"""How a process that is no `app` opens masks: with `keyfile` and `folder`, where secrets are."""


class Masks(Protocol):
    """Masks values. The same value under the same mask and key gives the same masked value,
    in a column and in a request, unless the mask is not `stable`.
    """

    def key(self, mask: Mask) -> str:
        """Return the id of the key that the mask uses now; empty for one that uses none."""
        ...

    def column(self, mask: Mask, values: pa.Array) -> pa.Array:
        """Mask a column's raw values; a null stays null.

        Text comes for keyed masks and for ``digits``, numbers for ``step`` and ``bins``, times or
        dates for ``to``. Keyed masks and ``bins`` give text, the others the type that came.
        """
        ...

    def value(self, mask: Mask, value: Any) -> Any:
        """Mask a request's value; one that is masked already, under the same key, stays.

        Raises
        ------
        DataError
            The value is not of the mask's type; the error does not show it.
        """
        ...

    def reveal(self, mask: Mask, masked: str) -> str:
        """Return what a value of a ``reveal`` mask was.

        Raises
        ------
        DataError
            It is no such value, or was made for another column, or its key is gone.
        """
        ...
