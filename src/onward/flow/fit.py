"""Whether a pipeline's declarations fit the data, told before any work is done on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from onward.flow.definition import Definition
from onward.flow.site import Site
from onward.stages.ingest.config import Source
from onward.stages.ingest.fit import first_columns, published_columns
from onward.stages.validate.fit import require_fit

if TYPE_CHECKING:
    import pyarrow as pa


def require_published(site: Site, definition: Definition) -> None:
    """Refuse sources, and checks of theirs, that the published tables' columns contradict.

    Else a mistyped name would be found out only by the next rows. A source that was never taken
    in has its first rows to find it out.

    Raises
    ------
    DeclarationError
        A column that is named does not exist, or is of the wrong type.
    """
    tables = stored(site, definition)
    for source in definition.sources.values():
        if source.name in tables:
            columns = published_columns(source, tables[source.name])
            if source.on_schema_change == "refuse":  # else a check may be about what is to come
                _require_checks(source, columns, tables)


def look(site: Site, definition: Definition, source: Source) -> pa.Schema | None:
    """Look at the first rows of a source that was never taken in, and hold it against them.

    Returns the columns that it would be published with, None if it has no rows yet.

    Raises
    ------
    DeclarationError
        A column that is named does not exist, or is of the wrong type.
    DataError
        The origin does not answer, or is damaged.
    """
    columns = first_columns(source, reader=site.reader(source), masks=site.masks)
    if columns is not None:
        _require_checks(source, columns, stored(site, definition))
    return columns


def stored(site: Site, definition: Definition) -> Mapping[str, pa.Schema]:
    """Return the columns of every declared table that is there, by the dataset's name."""
    names = (*definition.sources, *(t.name for t in definition.transforms))
    found = {name: site.lake.schema(definition.table(name)) for name in names}
    return {name: schema for name, schema in found.items() if schema is not None}


def _require_checks(source: Source, columns: pa.Schema, tables: Mapping[str, pa.Schema]) -> None:
    read = {name for check in source.checks for name in check.reads} - {source.name}
    if source.checks:
        others = {name: tables[name] for name in sorted(read & tables.keys())}
        require_fit(source.name, source.checks, columns, others=others)
