"""Scoring a table from a project: which rows, by which version, into which table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onward.app.access import require
from onward.core.errors import NotFoundError, unknown_name

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.records import ImageRef
    from onward.flow.model.score import Heard, Scored


def score(
    project: Project,
    dataset: str,
    *,
    version: int | None = None,
    into: str | None = None,
    keep: Sequence[str] = (),
    workers: int | None = None,
    share: int | None = None,
    heard: Heard | None = None,
) -> Scored:
    """Score a published dataset's rows; see `onward.flow.model.score`.

    The champion answers unless a `version` is named. With the answers go the columns that `keep`
    names; unless it does, the model's key. The answers are the table ``scores.<into>``, named
    after the dataset unless told. Each process gets `share` rows at a time. No lock is needed.

    Raises
    ------
    DeniedError
        The caller may not read the table, or not run the model.
    NotFoundError
        There is no such dataset, no champion, or no such version.
    OnwardError
        The rows cannot be scored.
    """
    from onward.app.online import opener
    from onward.flow.model.score import NAMESPACE, SHARE, Scoring, unheard
    from onward.flow.model.score import score as rows
    from onward.flow.plans import plan_of

    definition = project.definition
    known = [*definition.sources, *(t.name for t in definition.transforms)]
    if dataset not in known:
        what, expected = unknown_name("source or transform", dataset, known)
        raise NotFoundError(what, expected=expected)
    table = definition.table(dataset)
    require(project, "run", definition.model)
    require(project, "read", table)
    image = _image(project, version)
    scoring = Scoring(
        table=table,
        image=image,
        into=f"{NAMESPACE}.{into or dataset}",
        keep=tuple(keep) or plan_of(image.model).key,
        online=opener(project.settings),
        workers=workers or project.settings.compute.workers,
        share=share or SHARE,
    )
    return rows(project.site, scoring, heard=heard or unheard)


def _image(project: Project, version: int | None) -> ImageRef:
    from onward.flow.release.image import there
    from onward.flow.release.releases import champion, packaged

    model = project.definition.model
    if version is None:
        image = champion(project.ledger, model)
        if image is None:
            raise NotFoundError(
                f"{model!r} has no champion yet",
                expected="a version that was released",
                next_step="`onward run` trains and releases one",
            )
        return image
    images = packaged(project.ledger, model)
    if version not in images:
        raise NotFoundError(
            f"no image of version {version} of {model!r} was made",
            expected=f"one of {', '.join(map(str, sorted(images)))}" if images else "a first run",
            next_step="`onward models` lists the versions",
        )
    return there(images[version])
