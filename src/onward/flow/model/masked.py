"""Which columns of a label's rows are masked, by the sources that they come from."""

from __future__ import annotations

from collections.abc import Mapping

from onward.core.records import Mask
from onward.flow.pipeline.definition import Definition
from onward.stages.features.config import Label
from onward.stages.ingest.config import Source


def masked_columns(definition: Definition, label: Label) -> Mapping[str, tuple[Mask, ...]]:
    """Return how columns are masked in the sources that a label reads, directly or not, by name.

    More than one mask for a name means that these sources do not agree.
    """
    found: dict[str, tuple[Mask, ...]] = {}
    for source in sources_of(definition, label.inputs):
        for name, mask in source.masked.items():
            known = found.setdefault(name, ())
            if mask.kind != "drop" and mask not in known:
                found[name] = (*known, mask)
    return found


def sources_of(definition: Definition, names: tuple[str, ...]) -> list[Source]:
    """Return the sources among the named datasets and all that these are derived from."""
    transforms = {t.name: t for t in definition.transforms}
    wanted, seen = list(names), set()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            wanted += transforms[name].inputs if name in transforms else ()
    return [source for name, source in definition.sources.items() if name in seen]
