"""Revealing masked values to those whom their mask names; each time it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onward.app.access import require, used_up
from onward.core.errors import DataError, NotFoundError, unknown_name
from onward.core.records import Mask
from onward.core.wording import counted
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
        The caller has not the role, or it waits for an approval of just these values.
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
    digests = [hashlib.sha256(value.encode()).hexdigest()[:16] for value in values]
    of = _of(digests)
    caller = require(project, "reveal", column, role=mask.role, of=of, why=reason)
    revealed = [project.site.masks.reveal(mask, value) for value in values]
    used_up(project, caller, "reveal", column, of)
    _tell(project, column, mask, digests, by=caller.name, reason=reason)
    return revealed


def _of(digests: Sequence[str]) -> str:
    """Return which values these are, however many, without saying one of them."""
    which = hashlib.sha256("\0".join(sorted(digests)).encode()).hexdigest()[:16]
    return f"{counted(len(digests), 'value')} ({digests[0] if len(digests) == 1 else which})"


def _tell(
    project: Project, column: str, mask: Mask, digests: Sequence[str], *, by: str, reason: str
) -> None:
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
