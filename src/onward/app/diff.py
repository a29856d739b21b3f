"""What is different between two tables, or two snapshots of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onward.app.tables import find_table, snapshots
from onward.core.errors import NotFoundError
from onward.core.records import Diff

if TYPE_CHECKING:
    from onward.app.project import Project


def diff(
    project: Project, before: str, after: str | None = None, *, key: Sequence[str] = ()
) -> Diff:
    """Compare two tables by name.

    One alone is compared with its snapshot before the newest, an older snapshot with the newest.

    Rows are matched by `key`, or by the key that a source declares.

    Raises
    ------
    NotFoundError
        There is no such table or snapshot.
    DeclarationError
        A column of the key is not in both.
    """
    from onward.stages.validate.compare import compare

    lake = project.site.lake
    if after is None:
        after, at, _ = before.partition("@")
        before = before if at else f"{after}@-1"
        newest = find_table(project, after)
        if len(snapshots(lake, newest.table)) < 2:
            raise NotFoundError(
                f"{newest.table} has one snapshot",
                expected="two to compare: onward diff BEFORE AFTER",
            )
    old, new = find_table(project, before), find_table(project, after)
    known = tuple(key) or _key(project, old.table, new.table)
    return compare(old, new, lake=lake, key=known, personal=project.definition.personal)


def _key(project: Project, *tables: str) -> tuple[str, ...]:
    """Return the key of the source among the tables whose columns all tables have, if any."""
    schemas = [project.site.lake.schema(table) for table in tables]
    columns = [set(schema.names) for schema in schemas if schema is not None]
    for source in project.definition.sources.values():
        if source.table in tables and all(set(source.key) <= names for names in columns):
            return source.key
    return ()
