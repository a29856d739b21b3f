"""Questions about predictions: one by its id, or those of a unit, an arm, a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.app.access import require
from onward.core.clock import duration
from onward.core.errors import DeclarationError, NotFoundError, unknown_name
from onward.core.records import Prediction, Statement
from onward.flow.release.releases import current
from onward.flow.site import Folders
from onward.stages.serve.log.reader import find
from onward.stages.serve.step import TABLE

if TYPE_CHECKING:
    from onward.app.project import Project

USUAL: Final = frozenset({"champion", "candidate", "shadow", "direct", "override"})
"""Arms that any model's predictions may have."""


def look_up(project: Project, id: str) -> Prediction:
    """Return the prediction with this id, of the log or of the lake.

    Raises
    ------
    NotFoundError
        There is no such prediction.
    """
    from onward.stages.serve.step import look_up

    folder = Folders(project.settings.state).predictions
    try:
        return find(folder, id)  # the lake need not be opened for it
    except NotFoundError:
        return look_up(folder, id, lake=project.site.lake)


def one(project: Project, id: str) -> Prediction:
    """Return a prediction, to whom may read predictions; see `look_up`."""
    require(project, "read", TABLE)
    return look_up(project, id)


def classes(project: Project, prediction: Prediction) -> Sequence[str]:
    """Return the names of a prediction's classes, in the order of its probabilities.

    There are none of a model that is no multiclass one, nor of a version that is no longer here.
    """
    from onward.flow.plans import classes_of
    from onward.flow.release.releases import packaged

    image = packaged(project.ledger, prediction.model).get(prediction.version)
    several = isinstance(prediction.output, list)
    if not several or image is None or not Path(image.model.path).exists():
        return ()
    return classes_of(image.model)


def feedback(project: Project, prediction: Prediction) -> Sequence[Statement]:
    """Return what was told of a prediction, the newest of each name, to whom may read it."""
    from onward.stages.serve.step import statements

    require(project, "read", TABLE)
    site = project.site
    return statements(site.folders.predictions, prediction.id, lake=site.lake)


def predictions(
    project: Project,
    *,
    model: str | None = None,
    version: int | None = None,
    arm: str | None = None,
    unit: str | None = None,
    failed: bool = False,
    since: str | None = None,
    until: str | None = None,
    limit: int = 20,
) -> Sequence[Prediction]:
    """Return the newest predictions that fit all that is given, newest first.

    `since` and `until` are moments in ISO 8601, or durations before now such as ``2h``.

    Raises
    ------
    DeclarationError
        A time is neither.
    DeniedError
        The caller may not read predictions.
    NotFoundError
        Nothing fits, and no model or no arm has the name that is given.
    """
    from onward.stages.serve.search import Wanted, search

    require(project, "read", TABLE)
    wanted = Wanted(
        model=model,
        version=version,
        arm=arm,
        unit=unit,
        failed=failed,
        since=_moment(project, since),
        until=_moment(project, until),
    )
    site = project.site
    found = search(site.folders.predictions, wanted, lake=site.lake, limit=limit)
    if not found:
        _require_known("model", model, {project.definition.model})
        _require_known("arm", arm, _arms(project))
    return found


def _require_known(kind: str, name: str | None, known: Collection[str]) -> None:
    if name is not None and name not in known:
        what, expected = unknown_name(kind, name, known)
        raise NotFoundError(what, expected=expected)


def _arms(project: Project) -> frozenset[str]:
    """Return the names of arms that predictions may have: the usual ones, and the release's."""
    release = current(project.ledger, project.definition.model)
    return USUAL | (set(release.arms) if release else set())


def _moment(project: Project, text: str | None) -> datetime | None:
    if text is None:
        return None
    now = project.clock.now()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now - duration(text)
        except DeclarationError:
            raise DeclarationError(
                f"{text!r} is no time",
                expected="a moment such as 2026-11-24T12:00, or how long ago: 2h",
            ) from None
    return found.replace(tzinfo=now.tzinfo) if found.tzinfo is None else found
