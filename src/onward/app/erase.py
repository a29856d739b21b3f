"""Erasing a subject from a project, and proving it: what `onward erase` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.app.access import require, used_up
from onward.app.ingest import none_taken_in
from onward.core.errors import BusyError, NotFoundError
from onward.core.records import TOMBSTONE, ErasureReport, Removed, Residue, Subject
from onward.core.wording import counted
from onward.flow.data.tombstones import BEGUN, ERASED, READMITTED, standing
from onward.flow.happened import happened
from onward.flow.keeping.erase import erase, find_subject, subject_columns

if TYPE_CHECKING:
    from onward.app.project import Project

_SHORTEST: Final = 4  # characters: shorter texts stand everywhere by chance


def erase_subject(
    project: Project,
    value: str,
    *,
    columns: Sequence[str] = (),
    dry_run: bool = False,
    heard: Callable[[Removed], None] | None = None,
) -> ErasureReport:
    """Erase whoever `value` stands for in the columns, then search every byte for what is left.

    The ledger tells that it was begun and how it ended, with a keyed hash of the value. Repeating
    it after a crash finishes it. An approval is of this subject, and used up when it has ended; a
    dry run needs none.

    Raises
    ------
    DeclarationError
        It is not known which columns say whom rows are about.
    NotFoundError
        No table has the column.
    DeniedError
        The caller may not erase by these columns, or not before it is approved.
    BusyError
        Another process runs the project, or takes a source in: neither log nor tables may be
        written meanwhile.
    """
    site, definition = project.site, project.definition
    named = subject_columns(definition, columns)
    hashed = str(site.masks.value(TOMBSTONE, value))
    of = f"subject {hashed}"
    for column in named:
        asking = require(project, "erase", column, of=of, waits=not dry_run)
    with nullcontext() if dry_run else _still(project):
        subject = find_subject(site, definition, value, named)
        key = f"{hashed}@{site.clock.now().isoformat()}"
        if not dry_run:
            happened(site, BEGUN, hashed, key=key, columns=named, by=asking.name)
        removed = []
        for part in erase(site, definition, subject, dry_run=dry_run):
            if heard is not None:
                heard(part)
            removed.append(part)
        residues, searched = _search(project, subject) if not dry_run else ((), 0)
        if not dry_run:
            again = erase(site, definition, subject, dry_run=True)
            residues += tuple(_came_back(part) for part in again if part.rows)
        report = ErasureReport(
            subject=hashed,
            columns=named,
            dry_run=dry_run,
            removed=tuple(removed),
            residues=residues,
            files_searched=searched,
            searched=bool(_texts(subject)) and not dry_run,
            elsewhere=_elsewhere(project),
        )
        if not dry_run:
            happened(site, ERASED, hashed, key=key, report=report, by=asking.name)
            for column in named:
                used_up(project, asking, "erase", column, of)
    return report


def readmit(project: Project, value: str, *, columns: Sequence[str] = ()) -> tuple[str, ...]:
    """Let sources bring an erased subject again, from the next batch on; return its columns.

    Raises
    ------
    DeclarationError
        It is not known which columns say whom rows are about.
    NotFoundError
        Nobody of that name was erased.
    DeniedError
        The caller may not erase by these columns, or not before it is approved.
    """
    site = project.site
    named = subject_columns(project.definition, columns)
    hashed = str(site.masks.value(TOMBSTONE, value))
    of = f"subject {hashed} let in again"
    for column in named:
        asking = require(project, "erase", column, of=of)
    if not standing(site.ledger) & {(column, hashed) for column in named}:
        raise NotFoundError(
            f"nobody of that name in {', '.join(named)} was erased",
            expected="the value, and the column, that `onward erase` was given",
        )
    key = f"{hashed}@{site.clock.now().isoformat()}"
    happened(site, READMITTED, hashed, key=key, columns=named, by=asking.name)
    for column in named:
        used_up(project, asking, "erase", column, of)
    return named


@contextmanager
def _still(project: Project) -> Iterator[None]:
    """See that nothing else writes to tables or the log meanwhile."""
    with ExitStack() as held:
        try:
            held.enter_context(project.alone())
        except BusyError as error:
            raise BusyError(
                error.what,
                expected="no gateway that writes the log, no run that writes tables",
                next_step="stop `onward up` with Ctrl-C, erase, and start it again; --dry-run "
                "counts what would go, and needs nothing stopped",
            ) from None
        held.enter_context(none_taken_in(project))
        yield


def _texts(subject: Subject) -> list[str]:
    return sorted(value for value in subject.values if len(value) >= _SHORTEST)


def _search(project: Project, subject: Subject) -> tuple[tuple[Residue, ...], int]:
    """Return what still holds a value of the subject, and how many files were looked into."""
    from onward.infra.search.files import files_with

    state = project.settings.state
    searched = sum(1 for path in state.rglob("*") if path.is_file())
    texts = _texts(subject)
    found = files_with(texts, state) if texts else {}
    paths = (path.relative_to(state) for path in found)
    return tuple(_residue(path) for path in paths), searched


def _elsewhere(project: Project) -> tuple[str, ...]:
    """Return the stores whose bytes are out of reach, without what is secret in their addresses."""
    settings = project.settings
    tables = (settings.lake.warehouse,) if settings.lake.warehouse else ()
    online = (settings.online.store,) if settings.online.store != "sqlite" else ()
    return (*tables, *online)


def _came_back(part: Removed) -> Residue:
    return Residue(
        path=part.place,
        why=f"{counted(part.rows, 'row')} came while it was erased",
        next_step="stop what writes there, and erase again",
    )


_RETRAIN: Final = (
    "train a new version with `onward run --force`; once it has taken over, and no rollback needs "
    "the old one, its folder can be deleted"
)
_REASONS: Final = {
    "trained": ("examples or a model that the subject was part of, under a digest", _RETRAIN),
    "images": ("an image of such a model, under its digest", _RETRAIN),
    "gateway": ("an unpacked image, or what a gateway wrote to its log", _RETRAIN),
    "onward.db": ("an event told the value, and the ledger cannot be changed", "see it and judge"),
    "workflows.db": ("the result of a run's step", "delete the file when no run is to be resumed"),
    "lake": (
        "a file that a writer which was cut short may yet commit",
        "erase again in a quarter of an hour",
    ),
}


def _residue(path: Path) -> Residue:
    why, next_step = _REASONS.get(
        path.parts[0], ("a file that Onward does not rewrite", "see what it is")
    )
    return Residue(path=str(path), why=why, next_step=next_step)
