"""Which reader reads which kind of origin: the embedded ones and those that packages add."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from onward.core.errors import DeclarationError, unknown_name
from onward.stages.ingest.config import Source
from onward.stages.ingest.port import Reader, Readers, Surroundings

GROUP: Final = "onward.origins"
"""The group of entry points in which a package names its readers, by the `kind` they read.

An entry point names a callable that takes `Surroundings` and returns a `Reader`.
"""

_ADAPTERS: Final = "onward.stages.ingest.adapters"

EMBEDDED: Final = (
    EntryPoint("files", f"{_ADAPTERS}.files:FileReader", GROUP),
    EntryPoint("sql", f"{_ADAPTERS}.sql:SqlReader", GROUP),
    EntryPoint("http", f"{_ADAPTERS}.dlt:DltReader", GROUP),
    EntryPoint("dlt", f"{_ADAPTERS}.dlt:DltReader", GROUP),
    EntryPoint("kafka", f"{_ADAPTERS}.kafka:KafkaReader", GROUP),
)


def find_readers(surroundings: Surroundings) -> Readers:
    """Return what finds a source's reader; each is imported and made when first asked for."""
    made: dict[str, Reader] = {}

    def reader(source: Source) -> Reader:
        kind = source.origin.kind
        if kind not in made:
            made[kind] = _load(source)(surroundings)
        return made[kind]

    return reader


def _load(source: Source) -> Callable[[Surroundings], Reader]:
    kind = source.origin.kind
    # The embedded ones come last: no package takes their names.
    named = {entry.name: entry for entry in (*entry_points(group=GROUP), *EMBEDDED)}
    if kind not in named:
        what, expected = unknown_name("reader for the origin", kind, named)
        raise DeclarationError(
            f"source {source.name!r}: {what}",
            expected=expected,
            next_step=f"install the package that adds it in its entry points {GROUP!r}",
            location=source.location,
        )
    try:
        found: Callable[[Surroundings], Reader] = named[kind].load()
    except (ImportError, AttributeError) as error:
        raise DeclarationError(
            f"source {source.name!r}: the reader {named[kind].value} cannot be loaded: {error}",
            expected="an installed package and its dependencies",
            location=source.location,
        ) from None
    return found
