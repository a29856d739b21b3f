"""Metrics in Prometheus' text format, and those of several workers as one.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from onward.stages.serve.gateway.metrics.counters import (
    BUCKETS_S,
    FAMILIES,
    Family,
    Labels,
    Samples,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS: Final = (*map(str, BUCKETS_S), "+Inf")


def merged(workers: Iterable[Samples]) -> Samples:
    """Return what several workers counted as one: see `Family.over`."""
    found: Samples = {}
    for samples in workers:
        for family in FAMILIES:
            into = found.setdefault(family.name, {})
            for labels, value in samples.get(family.name, {}).items():
                before = into.get(labels)
                if before is None:
                    into[labels] = value
                else:
                    into[labels] = before + value if family.over == "sum" else max(before, value)
    return found


def text(samples: Samples) -> bytes:
    """Return the samples as Prometheus reads them; a family that has none is only described."""
    return ("\n".join(line for f in FAMILIES for line in _family(f, samples)) + "\n").encode()


def _family(family: Family, samples: Samples) -> Iterator[str]:
    found = samples.get(family.name, {})
    yield f"# HELP {family.name} {family.about}"
    yield f"# TYPE {family.name} {family.kind}"
    if family.kind == "histogram":
        yield from _histograms(family, found)
        return
    for labels, value in found.items():
        yield f"{family.name}{_labelled(family.labels, labels)} {_number(value)}"


def _histograms(family: Family, found: Mapping[Labels, float]) -> Iterator[str]:
    names = (*family.labels, "le")
    for labels in dict.fromkeys(key[:-1] for key in found):
        total: float = 0
        for number, bound in enumerate(_BOUNDS):
            total += found.get((*labels, str(number)), 0)
            yield f"{family.name}_bucket{_labelled(names, (*labels, bound))} {_number(total)}"
        shown = _labelled(family.labels, labels)
        yield f"{family.name}_sum{shown} {found[*labels, 'sum']:.9f}"
        yield f"{family.name}_count{shown} {_number(total)}"


def _labelled(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    pairs = (f'{n}="{_escaped(v)}"' for n, v in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _number(value: float) -> str:
    return str(int(value) if value == int(value) else value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
