"""What is known of columns' types before a test gives rows: declared times, published tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.app.settings.sources import FILE, read_settings
from onward.stages.features.config import Label
from onward.stages.ingest.config import Source
from onward.stages.transform.config import Transform

if TYPE_CHECKING:
    import pyarrow as pa

    from onward.app.testing.evaluate import Declared
    from onward.core.ports import Lake


@dataclass(frozen=True, slots=True, kw_only=True)
class Types:
    """`folder` is the project's, `times` the columns that some source or label calls a time."""

    folder: Path
    times: frozenset[str]
    tables: Mapping[str, str]

    def of(self, dataset: str) -> Mapping[str, pa.DataType]:
        """Return the published types of a dataset's columns; none where nothing is published."""
        lake = _lake(self.folder)
        schema = lake.schema(self.tables[dataset]) if lake and dataset in self.tables else None
        return {} if schema is None else {field.name: field.type for field in schema}


def types_of(declared: Declared) -> Types:
    """Return what is known from the file that declares, and from the lake of its project."""
    file = declared.location.file if declared.location else ""
    around = _declarations(file)
    times = {"event_time", "available_at"}
    for found in around:
        if isinstance(found, (Source, Label)):
            times |= {found.event_time, found.available_at}
    return Types(
        folder=Path(file).parent,
        times=frozenset(times),
        tables={d.name: d.table for d in around if isinstance(d, (Source, Transform))},
    )


def _declarations(file: str) -> list[Any]:
    modules = [m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == file]
    return [value for module in modules for value in vars(module).values()]


@lru_cache(maxsize=4)
def _lake(folder: Path) -> Lake | None:
    """Open the project's lake if there is one: a test must not make one."""
    if not (folder / FILE).is_file():
        return None
    lake = read_settings(folder).state / "lake"
    if not lake.is_dir():
        return None
    from onward.infra.lake.iceberg import open_lake

    return open_lake(lake)
