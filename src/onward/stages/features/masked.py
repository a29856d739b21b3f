"""Masked columns in requests: what training saw masked, the gateway must mask as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onward.core.declarations import Model
from onward.core.errors import DataError
from onward.core.records import Column, Mask
from onward.core.records.masks import looks_masked

if TYPE_CHECKING:
    import pyarrow as pa


def requested(model: Model, name: str, values: pa.ChunkedArray, masks: Sequence[Mask]) -> Column:
    """Return a request column, with the mask that its values in the training set have.

    A keyed mask shows in the values, so a column that was renamed on the way from its source, or
    that is masked in one source and not in another, is found out here.

    Raises
    ------
    DataError
        The sources do not agree on the mask; the values are masked and the name does not say
        how, or the name says how and they are not; or they are encrypted afresh each time, so
        that no request could match them.
    """
    if len(masks) > 1:
        raise DataError(
            f"request column {name!r} of model {model.name!r} is masked by "
            f"{' in one source and by '.join(map(str, masks))} in another",
            expected="one mask for one name, such as ow.pseudonym() in each source",
            location=model.location,
        )
    mask = masks[0] if masks else None
    column = Column(name=name, dtype=str(values.type), mask=mask)
    if mask is not None and not mask.stable:
        raise DataError(
            f"model {model.name!r} reads request column {name!r}, which is encrypted afresh in "
            "each row: no request can match it",
            expected="ow.pseudonym(), or ow.revealable(role, domain=...), for what is matched",
            location=model.location,
        )
    some = values.drop_null().slice(0, 1_000).to_pylist() if column.dtype == "string" else []
    keyed = mask is not None and mask.keyed
    if some and any(looks_masked(value) is not keyed for value in some):
        what = "raw values beside masked ones" if keyed else "masked values"
        raise DataError(
            f"request column {name!r} of model {model.name!r} holds {what}",
            expected="a masked column under the name that it has in its source, masked alike in "
            "every source that has it",
            next_step="do not rename it in transforms and labels, or mask the other source too",
            location=model.location,
        )
    return column
