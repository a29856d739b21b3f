"""Whether a pipeline's declarations fit the data, told before any work is done on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from onward.flow.pipeline.definition import Definition
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
    settled = _settled(published(site, definition), definition)
    for name, columns in settled.items():  # of others a check may be about what is to come
        _require_checks(definition.sources[name], columns, settled)


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
        others = _settled(published(site, definition), definition)
        _require_checks(source, columns, others)
    return columns


def published(site: Site, definition: Definition) -> Mapping[str, pa.Schema]:
    """Return the columns of the sources that have a table, under the names that they have now.

    Raises
    ------
    DeclarationError
        A source names a column that its table does not have, or a time that is none.
    """
    tables = {name: site.lake.schema(s.table) for name, s in definition.sources.items()}
    return {
        name: published_columns(definition.sources[name], schema)
        for name, schema in tables.items()
        if schema is not None
    }


def _settled(found: Mapping[str, pa.Schema], definition: Definition) -> Mapping[str, pa.Schema]:
    """Return those whose columns stay as they are."""
    sources = definition.sources
    return {n: found[n] for n in found if sources[n].on_schema_change == "refuse"}


def _require_checks(source: Source, columns: pa.Schema, known: Mapping[str, pa.Schema]) -> None:
    read = {name for check in source.checks for name in check.reads} - {source.name}
    if source.checks:
        others = {name: known[name] for name in sorted(read & known.keys())}
        require_fit(source.name, source.checks, columns, others=others)
