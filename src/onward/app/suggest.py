"""Checks that a dataset's own rows and batches suggest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from onward.app.tables import find_table
from onward.core.records import DatasetRef, ValidationReport
from onward.flow.happened import fact

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.declarations import Check
    from onward.stages.ingest.config import Source
    from onward.stages.validate.suggest import Suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested:
    """The checks that were found, less those that the dataset declares by the same name."""

    dataset: str
    table: str
    snapshot: int
    rows: int
    suggestions: Sequence[Suggestion]
    declared: Sequence[str]


def suggest(project: Project, name: str) -> Suggested:
    """Look at a dataset's rows and at the batches that brought them, and propose checks.

    Raises
    ------
    NotFoundError
        There is no such dataset, or nothing of it is published.
    """
    from onward.stages.validate.describe import describe
    from onward.stages.validate.suggest import suggest as of_rows

    definition, table = project.definition, find_table(project, name)
    dataset = next((n for n in _datasets(project) if definition.table(n) == table.table), name)
    source = definition.sources.get(dataset)
    key = source.key if source else ()
    times = (source.event_time, source.available_at) if source else ()
    with project.site.lake.open({"rows": table}) as connection:
        described = describe(connection.con, "rows", personal=definition.personal)
        found = list(of_rows(connection.con, "rows", described, key=key, times=times))
    found += _references(project, dataset, table, described["columns"].keys() - {*key})
    if source is not None:
        found += _of_batches(project, source)
    declared = {check.name for check in _checks(project, dataset)}
    return Suggested(
        dataset=dataset,
        table=table.table,
        snapshot=table.snapshot,
        rows=described["rows"],
        suggestions=[s for s in found if s.name not in declared],
        declared=[s.name for s in found if s.name in declared],
    )


def _datasets(project: Project) -> Sequence[str]:
    definition = project.definition
    return [*definition.sources, *(t.name for t in definition.transforms)]


def _checks(project: Project, dataset: str) -> Sequence[Check]:
    definition = project.definition
    if dataset in definition.sources:
        return definition.sources[dataset].checks
    return next((t.checks for t in definition.transforms if t.name == dataset), ())


def _references(
    project: Project, dataset: str, table: DatasetRef, columns: set[str]
) -> Iterator[Suggestion]:
    """Yield the columns whose every value is in the source that has them as its key."""
    from onward.stages.validate.suggest import of_reference

    lake = project.site.lake
    for other in project.definition.sources.values():
        if other.name == dataset or len(other.key) != 1 or other.key[0] not in columns:
            continue
        if lake.head(other.table) is None:
            continue
        column = other.key[0]
        with lake.open({"ours": table, "theirs": lake.dataset(other.table)}) as connection:
            ours = connection.table("ours").select(column).distinct()
            ours = ours.filter(ours[column].notnull())
            strange = ours.anti_join(connection.table("theirs"), column).count()
            values, missing = (n.to_pyarrow().as_py() for n in (ours.count(), strange))
        if values and not missing:
            yield of_reference(column, f"{other.name}.{column}", values)


def _of_batches(project: Project, source: Source) -> Iterator[Suggestion]:
    from onward.stages.validate.suggest import of_batches

    told = project.ledger.events(kind="batch.audited", subject=source.table)
    audits = [(t.event.at, fact(t, "report", ValidationReport)) for t in told]
    published = [(at, report) for at, report in audits if report.published is not None]
    lags = []
    for at, report in published:
        newest = report.profile["columns"].get(source.event_time, {}).get("max")
        if newest is not None:
            moment = datetime.fromisoformat(newest)
            lags.append(at - (moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
    yield from of_batches([r.rows_in for _, r in published], source.event_time, lags)
