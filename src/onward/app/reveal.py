"""Revealing masked values to those whom their mask names; each time it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onward.app.access import require
from onward.core.errors import DataError, NotFoundError, unknown_name
from onward.core.records import Mask
from onward.flow.happened import happened

if TYPE_CHECKING:
    from onward.app.project import Project


def reveal(project: Project, column: str, values: Sequence[str], reason: str) -> list[str]:
    """Return what encrypted values of a column were, after the ledger has been told.

    Parameters
    ----------
    column
        The source and its column, ``payments.iban``, wherever the values stand by now.
    reason
        Why; it goes into the ledger with the caller's name and digests of the values as they
        are stored.

    Raises
    ------
    NotFoundError
        No such column is revealable.
    DeniedError
        The caller has not the role.
    DataError
        A value is none of this column.
    """
    masks = {
        f"{source.name}.{name}": mask
        for source in project.definition.sources.values()
        for name, mask in source.masked.items()
        if mask.kind == "reveal"
    }
    if column not in masks:
        what, expected = unknown_name("revealable column", column, masks)
        raise NotFoundError(what, expected=expected)
    if not reason:
        raise DataError("no reason is given", expected="why the values are needed, in words")
    mask = masks[column]
    caller = require(project, "reveal", column, role=mask.role)
    revealed = [project.site.masks.reveal(mask, value) for value in values]
    _tell(project, column, mask, values, by=caller.name, reason=reason)
    return revealed


def _tell(
    project: Project, column: str, mask: Mask, values: Sequence[str], *, by: str, reason: str
) -> None:
    digests = [hashlib.sha256(value.encode()).hexdigest()[:16] for value in values]
    happened(
        project.site,
        "column.revealed",
        column,
        key=f"{by}/{column}@{project.clock.now().isoformat()}",
        by=by,
        role=mask.role,
        reason=reason,
        values=digests,
    )
