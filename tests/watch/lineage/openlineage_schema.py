"""Validates OpenLineage events against the published schemas: the core, then facet by facet.

The core leaves the bodies of facets open, so each is validated against its own schema as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

SPEC = Path(__file__).parent / "openlineage_spec"
SCHEMAS = {s["$id"]: s for s in (json.loads(p.read_text()) for p in SPEC.glob("*.json"))}
REGISTRY = Registry().with_resources((i, Resource.from_contents(s)) for i, s in SCHEMAS.items())


def require_valid(event: Mapping[str, Any]) -> None:
    """Fail where an event, or a facet of it, is not as the standard says."""
    _validate(event, event["schemaURL"])
    for facet in facets(event):
        _validate(facet, facet["_schemaURL"])


def facets(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every facet of an event's run, job and datasets."""
    datasets = (*event["inputs"], *event["outputs"])
    for holder in (event["run"], event["job"], *datasets):
        for kind in ("facets", "inputFacets", "outputFacets"):
            yield from holder.get(kind, {}).values()


def _validate(instance: Any, url: str) -> None:
    assert url.partition("#")[0] in SCHEMAS, f"{url} is no schema of this specification"
    validator = Draft202012Validator(
        {"$ref": url}, registry=REGISTRY, format_checker=FormatChecker()
    )
    validator.validate(instance)
