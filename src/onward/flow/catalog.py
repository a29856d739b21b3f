"""The catalogue: everything that a pipeline declares, and how each stands in lake and registry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from onward.core.declarations import Check
from onward.core.declared import first_paragraph
from onward.core.records.catalog import CatalogColumn, CatalogEntry
from onward.core.refs import ref
from onward.flow.pipeline.definition import Definition
from onward.flow.pipeline.graph import Node, graph
from onward.flow.release.versions import versions
from onward.flow.site import Site
from onward.stages.features.config import FeatureView, Label
from onward.stages.features.on_demand import OnDemand, views_of
from onward.stages.features.step import current_version
from onward.stages.ingest.config import Source
from onward.stages.transform.config import Transform


def catalog(site: Site, definition: Definition) -> Sequence[CatalogEntry]:
    """Return an entry for each declaration, each after all that it reads."""
    nodes = graph(definition)
    names = {node.id: node.name for node in nodes}
    protected = _classified(definition)
    return [
        replace(
            _entry(site, definition, node, protected),
            reads=tuple(names[other] for other in node.reads),
            read_by=tuple(other.name for other in nodes if node.id in other.reads),
        )
        for node in nodes
    ]


def _entry(
    site: Site, definition: Definition, node: Node, protected: Mapping[str, tuple[str, ...]]
) -> CatalogEntry:
    model = definition.pipeline.model
    if node.kind == "source":
        return _source(site, definition.sources[node.name], protected)
    if node.kind == "transform":
        found = next(t for t in definition.transforms if t.name == node.name)
        return _transform(site, found, protected)
    if node.kind == "label":
        return _label(model.label)
    if node.kind == "model":
        return _model(site, definition)
    if node.kind == "view":
        view = next(v for v in views_of(model.features) if v.name == node.name)
        return _view(site, view, protected)
    return _on_demand(next(f for f in definition.on_demand if f.name == node.name))


def _source(site: Site, source: Source, protected: Mapping[str, tuple[str, ...]]) -> CatalogEntry:
    entry = CatalogEntry(
        kind="source",
        name=source.name,
        description=source.description,
        owner=source.owner,
        tags=source.tags,
        contract=(f"key: {', '.join(source.key)}", *map(_rule, source.checks)),
    )
    return _published(site, entry, source.table, protected, time=source.event_time)


def _transform(
    site: Site, transform: Transform, protected: Mapping[str, tuple[str, ...]]
) -> CatalogEntry:
    entry = CatalogEntry(
        kind="transform",
        name=transform.name,
        description=transform.description,
        owner=transform.owner,
        tags=transform.tags,
        contract=tuple(map(_rule, transform.checks)),
    )
    return _published(site, entry, transform.table, protected)


def _view(site: Site, view: FeatureView, protected: Mapping[str, tuple[str, ...]]) -> CatalogEntry:
    entry = CatalogEntry(
        kind="view",
        name=view.name,
        description=view.description,
        owner=view.owner,
        tags=view.tags,
        contract=(
            f"entity: {', '.join(view.entity)}",
            "fresh for ever" if view.ttl is None else f"fresh for {view.ttl}",
            f"missing: {view.on_missing}; stale: {view.on_stale}",
        ),
    )
    plan = current_version(view, site.lake)
    if plan is None:
        return entry
    found = _published(site, entry, plan.table, protected, time="event_time")
    return replace(found, ref=plan.ref)


def _on_demand(feature: OnDemand) -> CatalogEntry:
    return CatalogEntry(
        kind="on-demand",
        name=feature.name,
        description=first_paragraph(feature.function),
        contract=(
            *((f"reads of the request: {', '.join(feature.request)}",) if feature.request else ()),
            *(f"reads of {v.name}: {', '.join(feature.read_of(v.name))}" for v in feature.views),
        ),
    )


def _label(label: Label) -> CatalogEntry:
    return CatalogEntry(
        kind="label",
        name=label.name,
        description=first_paragraph(label.function),
        contract=(
            f"key: {', '.join(label.key)}",
            f"predicted at {label.event_time}, known at {label.available_at}",
        ),
    )


def _model(site: Site, definition: Definition) -> CatalogEntry:
    pipeline, model = definition.pipeline, definition.pipeline.model
    gates = [*pipeline.gates, *pipeline.acceptance]
    registered = versions(site.ledger, model.name)
    newest = registered[0] if registered else None
    return CatalogEntry(
        kind="model",
        name=model.name,
        description=model.description,
        owner=model.owner,
        tags=model.tags,
        contract=tuple(_worded(gate) for gate in gates),
        ref=newest.model.ref if newest else None,
        published_at=newest.created_at if newest else None,
    )


def _published(
    site: Site,
    entry: CatalogEntry,
    table: str,
    protected: Mapping[str, tuple[str, ...]],
    *,
    time: str | None = None,
) -> CatalogEntry:
    """Add what the lake says of a table; the entry as it is where nothing was published."""
    entry = replace(entry, table=table)
    head, schema = site.lake.head(table), site.lake.schema(table)
    if head is None or schema is None:
        return entry
    return replace(
        entry,
        ref=ref("snapshot", table, head.id),
        columns=tuple(
            CatalogColumn(
                name=column.name,
                dtype=str(column.type),
                classification=protected.get(column.name, ()),
            )
            for column in schema
            if not column.name.startswith("_")
        ),
        rows=head.rows,
        published_at=head.at,
        newest=_newest(site, table, time) if time else None,
    )


def _newest(site: Site, table: str, column: str) -> datetime | None:
    with site.lake.open({"rows": site.lake.dataset(table)}) as backend:
        rows = backend.table("rows")
        found: datetime | None = rows.aggregate(n=rows[column].max()).to_pyarrow()["n"][0].as_py()
    return found


def _classified(definition: Definition) -> dict[str, tuple[str, ...]]:
    """Return what is said of columns by name: how sources mask them, and whom they name.

    A column of the same name in a derived table or a feature view is taken to be the same.
    """
    found: dict[str, list[str]] = {}
    for source in definition.sources.values():
        for name in source.subject:
            found.setdefault(name, []).append("names a subject")
        for name, mask in source.masked.items():
            found.setdefault(name, []).append(f"masked: {mask}")
    return {name: tuple(dict.fromkeys(words)) for name, words in found.items()}


def _rule(check: Check) -> str:
    severity = check.severity or {"row": "quarantine", "batch": "hold"}.get(check.scope or "", "")
    return f"{check.name} ({severity})" if severity else check.name


def _worded(gate: Any) -> str:
    """Return a gate as it was declared: ``at_least(metric=roc_auc, value=0.65)``."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(gate).__name__).lower()
    return f"{name}({', '.join(_arguments(gate))})"


def _arguments(gate: Any) -> Iterator[str]:
    for field in fields(gate):
        value = getattr(gate, field.name)
        if field.compare and value is not None:
            yield f"{field.name}={value}"
