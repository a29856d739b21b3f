"""Refs as OpenLineage datasets, with what the ledger says of them as facets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    data_quality_assertions_dataset,
    data_quality_metrics_input_dataset,
    dataset_version_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)

from onward.core.events import Event
from onward.core.refs import Ref, parse_ref
from onward.core.version import VERSION

PRODUCER: Final = f"urn:onward:{VERSION}"
_NO_DATASETS: Final = ("run", "commit", "prediction")
_NAMES: Final[Mapping[str, Callable[[Ref], str]]] = {
    "snapshot": lambda ref: ref.name,
    "batch": lambda ref: f"{ref.name}.staged",
    "report": lambda ref: f"reports.{ref.name.partition('.')[2]}",
    "training": lambda _: "training_sets",
    "trained": lambda _: "trained_models",
}


def inputs_of(event: Event, namespace: str) -> list[InputDataset]:
    """Return the datasets that went into an event; an audited batch has its audit as facets."""
    return [
        InputDataset(
            namespace,
            name,
            facets=_version(ref),
            inputFacets=_audit(event) if ref.kind == "batch" else {},
        )
        for ref, name in _datasets(event.inputs)
    ]


def outputs_of(event: Event, namespace: str) -> list[OutputDataset]:
    """Return the datasets that came out of an event."""
    return [
        OutputDataset(
            namespace,
            name,
            facets={**_version(ref), **_schema(event, ref)},
            outputFacets=_statistics(event, ref),
        )
        for ref, name in _datasets(event.outputs)
    ]


def _datasets(refs: tuple[str, ...]) -> list[tuple[Ref, str]]:
    parsed = [parse_ref(text) for text in refs]
    return [(ref, _name(ref)) for ref in parsed if ref.kind not in _NO_DATASETS]


def _name(ref: Ref) -> str:
    named = _NAMES.get(ref.kind)
    return named(ref) if named else f"{ref.kind}.{ref.name}"


def _version(ref: Ref) -> dict[str, DatasetFacet]:
    version = ref.version
    if ref.kind in ("training", "trained"):
        version = ref.name
    elif ref.kind == "report":
        version = ref.name.partition(".")[0]
    if version is None:
        return {}
    return {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=version, producer=PRODUCER
        )
    }


def _profile(event: Event) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (event.facts.get("report") or {}).get("profile") or {}
    return found


def _schema(event: Event, ref: Ref) -> dict[str, DatasetFacet]:
    columns = _profile(event).get("columns", {})
    if ref.kind != "snapshot" or not columns:
        return {}
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=name, type=facts["type"], ordinal_position=n)
        for n, (name, facts) in enumerate(columns.items(), start=1)
    ]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields, producer=PRODUCER)}


def _statistics(event: Event, ref: Ref) -> dict[str, OutputDatasetFacet]:
    report = event.facts.get("report") or {}
    rows = report.get("rows_published") if ref.kind == "snapshot" else event.facts.get("rows")
    if rows is None or ref.kind == "report":
        return {}
    return {
        "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=int(rows), producer=PRODUCER
        )
    }


def _audit(event: Event) -> dict[str, InputDatasetFacet]:
    report = event.facts.get("report") or {}
    facets: dict[str, InputDatasetFacet] = {}
    if report.get("rules"):
        facets["dataQualityAssertions"] = (
            data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                assertions=[_assertion(rule) for rule in report["rules"]], producer=PRODUCER
            )
        )
    if _profile(event):
        facets["dataQualityMetrics"] = _metrics(_profile(event))
    return facets


def _assertion(rule: Mapping[str, Any]) -> data_quality_assertions_dataset.Assertion:
    warns = rule.get("severity") == "warn"
    return data_quality_assertions_dataset.Assertion(
        assertion=rule["rule"],
        success=bool(rule["passed"]),
        severity="warn" if warns else "error",
        actual=str(rule["offenders"]),
        description=rule.get("detail") or None,
    )


def _metrics(
    profile: Mapping[str, Any],
) -> data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet:
    return data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
        rowCount=int(profile["rows"]),
        columnMetrics={
            name: _column(facts, int(profile["rows"])) for name, facts in profile["columns"].items()
        },
        producer=PRODUCER,
    )


def _column(
    facts: Mapping[str, Any], rows: int
) -> data_quality_metrics_input_dataset.ColumnMetrics:
    def number(name: str) -> float | None:
        value = facts.get(name)
        return float(value) if isinstance(value, (int, float)) else None  # times have no place here

    return data_quality_metrics_input_dataset.ColumnMetrics(
        nullCount=facts.get("nulls"),
        distinctCount=facts.get("distinct"),
        count=float(rows - facts.get("nulls", 0)),
        min=number("min"),
        max=number("max"),
    )
