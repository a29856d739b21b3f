"""DCAT 3 as JSON-LD (W3C Recommendation, 22 August 2024, https://www.w3.org/TR/vocab-dcat-3/)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from onward.core.records.catalog import CatalogEntry

_CONTEXT: Final[Mapping[str, str]] = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcterms": "http://purl.org/dc/terms/",
    "csvw": "http://www.w3.org/ns/csvw#",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "prov": "http://www.w3.org/ns/prov#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


def dcat(project: str, entries: Sequence[CatalogEntry]) -> dict[str, Any]:
    """Return a ``dcat:Catalog`` with each entry as a resource.

    What holds rows is a ``dcat:Dataset``, with its columns as a table schema of CSV on the Web and
    what it was derived from by the provenance ontology; the others are a ``dcat:Resource``.
    """
    ids = {entry.name: f"urn:onward:{project}:{entry.kind}:{entry.name}" for entry in entries}
    return {
        "@context": dict(_CONTEXT),
        "@id": f"urn:onward:{project}",
        "@type": "dcat:Catalog",
        "dcterms:title": project,
        "dcat:resource": [_resource(entry, ids) for entry in entries],
    }


def _resource(entry: CatalogEntry, ids: Mapping[str, str]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "@id": ids[entry.name],
        "@type": "dcat:Dataset" if entry.table else "dcat:Resource",
        "dcterms:identifier": entry.ref or entry.name,
        "dcterms:title": entry.name,
        "dcterms:type": entry.kind,
        "dcterms:description": entry.description,
        "dcterms:publisher": _agent(entry.owner),
        "dcat:keyword": list(entry.tags),
        "dcterms:modified": _time(entry),
        "dcat:version": (entry.ref or "").rpartition("@")[2],
        "dcterms:conformsTo": list(entry.contract),
        "csvw:tableSchema": _schema(entry),
        "prov:wasDerivedFrom": _references(entry.reads, ids),
    }
    return {name: value for name, value in said.items() if value}


def _agent(owner: str) -> dict[str, str]:
    return {"@type": "foaf:Agent", "foaf:name": owner} if owner else {}


def _time(entry: CatalogEntry) -> dict[str, str]:
    if entry.published_at is None:
        return {}
    return {"@type": "xsd:dateTime", "@value": entry.published_at.isoformat()}


def _schema(entry: CatalogEntry) -> dict[str, Any]:
    columns = [
        {"csvw:name": c.name, "csvw:datatype": c.dtype}
        | ({"dcterms:accessRights": list(c.classification)} if c.classification else {})
        for c in entry.columns
    ]
    return {"csvw:column": columns} if columns else {}


def _references(names: Iterable[str], ids: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"@id": ids[name]} for name in names]
