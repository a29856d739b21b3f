"""Erasing a subject: from the log, the online store and training sets, then from every table."""

from __future__ import annotations

import operator
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial, reduce
from typing import TYPE_CHECKING

from onward.core.errors import DeclarationError, NotFoundError, unknown_name
from onward.core.records import Removed, Subject
from onward.core.wording import counted
from onward.flow.model.score import NAMESPACE as SCORES
from onward.flow.pipeline.definition import Definition
from onward.flow.site import Site
from onward.stages.features.erase import erase_online, erase_training_sets
from onward.stages.serve.log.erase import erase_log, ids_about, logged_rows
from onward.stages.serve.step import FEEDBACK
from onward.stages.serve.step import TABLE as PREDICTIONS
from onward.stages.validate.quarantine.table import table_of

if TYPE_CHECKING:
    import ibis.expr.types as ir

    Where = Callable[[ir.Table], ir.BooleanValue]

IN_FLIGHT = timedelta(minutes=15)
"""How old a file must be that no snapshot names to be nobody's: a command that compacts tables or
replays a quarantine may be about to commit a younger one."""


def subject_columns(definition: Definition, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that say whom rows are about: those asked for, or the declared one.

    Raises
    ------
    DeclarationError
        Nothing was asked for, and the sources declare no such column, or several.
    """
    declared = sorted({c for s in definition.sources.values() for c in s.subject})
    if asked:
        return tuple(dict.fromkeys(asked))
    if len(declared) == 1:
        return (declared[0],)
    raise DeclarationError(
        f"whom rows are about is said by {', '.join(declared)}: by which column are they known?"
        if declared
        else "no source says whom its rows are about",
        expected=f"--column NAME{_such_as(definition)}"
        + ("" if declared else ", or subject='the column' in the declaration of a source"),
    )


def _such_as(definition: Definition) -> str:
    """Return which columns may say it: those that feature views describe."""
    entities = sorted({c for view in definition.views for c in view.entity})
    return f", such as {' or '.join(entities)}" if entities else ""


def find_subject(
    site: Site, definition: Definition, value: str, columns: tuple[str, ...]
) -> Subject:
    """Return the subject with everything by which it is known: masked values, and units.

    Raises
    ------
    NotFoundError
        No table has any of the columns.
    """
    if not value:
        raise DeclarationError("the subject is empty", expected="the value that is to go")
    masked = {
        site.masks.value(mask, value)
        for source in definition.sources.values()
        for name, mask in source.masked.items()
        if name in columns and mask.keyed and mask.stable
    }
    bare = Subject(columns=columns, values=frozenset({value, *masked}))
    known = {c for t in tables(site, definition) for c in _columns(site, t)}
    for column in columns:
        if column not in known:
            what, expected = unknown_name("column of any table", column, known)
            raise NotFoundError(what, expected=expected)
    units = frozenset(_units(site, definition, bare))
    return Subject(columns=columns, values=bare.values, units=units)


def tables(site: Site, definition: Definition) -> Sequence[str]:
    """Return every table, also those that may have a branch alone; predictions come first, scores
    among them.

    Of a prediction other tables tell whom it was about: they go after it. Feedback is not among
    them: a prediction tells whom that is about, so it goes before everything else.
    """
    declared = [s.table for s in definition.sources.values()]
    declared += [t.table for t in definition.transforms]
    found = {*site.lake.tables(), *declared, *map(table_of, declared)} - {FEEDBACK}
    return sorted(found, key=lambda table: (table != PREDICTIONS, not _scored(table), table))


def _scored(table: str) -> bool:
    """Whether a table holds what was predicted of other tables' rows, or what was refused of it."""
    scores = f"{SCORES}."
    return table.startswith((scores, table_of(scores)))


def erase(
    site: Site, definition: Definition, subject: Subject, *, dry_run: bool
) -> Iterator[Removed]:
    """Remove the subject everywhere, yielding what went from each place.

    What is known of the subject through the tables goes first, the tables last, so that a second
    call finishes what a crash cut short.
    """
    folders = site.folders
    ids = frozenset(_predicted(site, subject))
    if site.lake.head(FEEDBACK) is not None:
        yield _from_feedback(site, ids, dry_run=dry_run)
    rows = erase_log(folders.predictions, subject, ids=ids, dry_run=dry_run)
    blanked = "blanked; other ids stay valid" if rows and not dry_run else ""
    yield Removed(place="prediction log", rows=rows, detail=blanked)
    rows = erase_training_sets(folders.training, subject, dry_run=dry_run)
    yield Removed(place="training sets", rows=rows)
    rows = erase_online(subject, lake=site.lake, online=site.online, dry_run=dry_run)
    yield Removed(place="online store", rows=rows)
    if not dry_run:
        shutil.rmtree(folders.staging, ignore_errors=True)  # logs of golden requests
    for table in tables(site, definition):
        rows = _count(site, definition, table, subject)
        if dry_run:
            yield Removed(place=table, rows=rows)
        else:  # from all that the lake keeps of it: a column may have been there once
            yield _erased(site, table, rows, _predicates(definition, table, subject))


def _predicted(site: Site, subject: Subject) -> Iterator[str]:
    """Yield the ids of predictions about the subject, of the log and of the lake."""
    yield from ids_about(site.folders.predictions, subject)
    if site.lake.head(PREDICTIONS) is not None:
        with site.lake.open({"_rows": site.lake.dataset(PREDICTIONS)}) as backend:
            rows = backend.table("_rows")
            yield from rows.filter(logged_rows(subject)(rows)).id.to_pyarrow().to_pylist()


def _from_feedback(site: Site, ids: Collection[str], *, dry_run: bool) -> Removed:
    def on(rows: ir.Table) -> ir.BooleanValue:
        return rows.prediction.isin(sorted(ids))

    rows = _rows_of(site, FEEDBACK, on) if ids else 0
    if dry_run or not ids:
        return Removed(place=FEEDBACK, rows=rows)
    return _erased(site, FEEDBACK, rows, (on,))


def _predicates(definition: Definition, table: str, subject: Subject) -> Iterator[Where]:
    """Yield which rows of a table are the subject's, one predicate for each way to know."""
    if table == PREDICTIONS:
        yield logged_rows(subject)
        return
    for column in subject.columns:
        yield partial(_in_column, column, sorted(subject.values))
    if _scored(table):
        yield partial(_in_key, definition.pipeline.model.label.key, sorted(subject.units))


def _in_column(column: str, values: Sequence[str], rows: ir.Table) -> ir.BooleanValue:
    return rows[column].cast("string").isin(values)


def _in_key(key: Sequence[str], units: Sequence[str], rows: ir.Table) -> ir.BooleanValue:
    import ibis

    return ibis.literal("|").join([rows[c].cast("string") for c in key]).isin(units)


def _erased(site: Site, table: str, rows: int, predicates: Iterable[Where]) -> Removed:
    expired = files = 0
    for where in predicates:
        with suppress(NotFoundError):  # it was never written, or never had the column
            erased = site.lake.erase(table, where, orphaned_before=site.clock.now() - IN_FLIGHT)
            expired, files = expired + len(erased.expired), files + erased.files
    gone = f"{counted(expired, 'snapshot')} expired, {counted(files, 'file')} deleted"
    detail = gone if expired or files else ""
    return Removed(place=table, rows=rows, detail=detail)


def _count(site: Site, definition: Definition, table: str, subject: Subject) -> int:
    if site.lake.head(table) is None:
        return 0
    return _rows_of(site, table, partial(_about, site, definition, table, subject))


def _rows_of(site: Site, table: str, where: Callable[[ir.Table], ir.BooleanValue | None]) -> int:
    with site.lake.open({"_rows": site.lake.dataset(table)}) as backend:
        found = backend.table("_rows")
        wanted = where(found)
        count: int = 0 if wanted is None else found.filter(wanted).count().to_pyarrow().as_py()
        return count


def _about(
    site: Site, definition: Definition, table: str, subject: Subject, rows: ir.Table
) -> ir.BooleanValue | None:
    """Return which rows of a published table are the subject's; None where none can be."""
    if table == PREDICTIONS:
        return logged_rows(subject)(rows)
    key, there = definition.pipeline.model.label.key, set(_columns(site, table))
    present = sorted(set(subject.columns) & there)
    found = [_in_column(column, sorted(subject.values), rows) for column in present]
    if _scored(table) and set(key) <= there:
        found.append(_in_key(key, sorted(subject.units), rows))
    return reduce(operator.or_, found) if found else None


def _columns(site: Site, table: str) -> Sequence[str]:
    schema = site.lake.schema(table)
    return [] if schema is None else schema.names


def _units(site: Site, definition: Definition, subject: Subject) -> Iterator[str]:
    """Yield the keys of what was predicted about the subject, from tables that have both."""
    key = definition.pipeline.model.label.key
    for table in site.lake.tables():
        if not set(key) <= set(_columns(site, table)):
            continue
        with site.lake.open({"_rows": site.lake.dataset(table)}) as backend:
            rows = backend.table("_rows")
            wanted = _about(site, definition, table, subject, rows)
            if wanted is not None:
                parts = rows.filter(wanted).select(*(rows[c].cast("string") for c in key))
                for row in parts.distinct().to_pyarrow().to_pylist():
                    yield "|".join(str(value) for value in row.values())
