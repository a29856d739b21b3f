"""Ledger events as OpenLineage runs: which job each is, when it began and how it ended."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    error_message_run,
    execution_parameters_run,
    job_type_job,
    parent_run,
    processing_engine_run,
    source_code_location_job,
    test_run,
)

from onward.core.events import Event, Recorded
from onward.core.version import VERSION
from onward.watch.lineage.adapters.openlineage_datasets import PRODUCER, inputs_of, outputs_of

_RUNS: Final = uuid.UUID("5b1d3c06-6f0e-5c0f-9a5e-2f6d2f0b6a11")

_STAGES: Final[Mapping[str, str]] = {
    "batch.ingested": "ingest",
    "batch.audited": "validate",
    "table.built": "transform",
    "features.published": "features",
    "training.built": "training_set",
    "candidate.chosen": "experiment",
    "model.trained": "train",
    "model.evaluated": "evaluate",
    "model.registered": "register",
    "image.packaged": "package",
    "image.accepted": "accept",
    "image.refused": "accept",
    "release.started": "release",
    "release.stepped": "release",
    "release.ended": "release",
    "release.reverted": "release",
    "monitor.reported": "monitor",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Where jobs and datasets belong.

    Parameters
    ----------
    namespace
        Of the project's jobs and datasets.
    pipeline
        The name of the job that every other is a part of.
    repository
        The address of the project's code, None without one: then no job says where its code is.
    """

    namespace: str
    pipeline: str
    repository: str | None = None


_ENDED: Final = {"failed": RunState.FAIL, "cancelled": RunState.ABORT}


def run_events(recorded: Recorded, naming: Naming) -> Iterator[RunEvent]:
    """Yield what OpenLineage hears of one ledger event; nothing for what is no work on data."""
    event = recorded.event
    if event.kind == "run.started":
        yield _event(RunState.START, event.at, _pipeline(event, naming), event, naming)
    elif event.kind == "run.finished":
        state = _ENDED.get(str(event.facts.get("state")), RunState.COMPLETE)
        yield _event(state, event.at, _pipeline(event, naming), event, naming)
    elif event.inputs or event.outputs:
        work = Run(runId=str(uuid.UUID(hex=recorded.hash[:32], version=4)), facets={})
        began = event.at - timedelta(seconds=float(event.facts.get("seconds") or 0))
        state = RunState.FAIL if event.kind == "image.refused" else RunState.COMPLETE
        yield _event(RunState.START, began, work, event, naming)
        yield _event(state, event.at, work, event, naming)


def _event(state: RunState, at: datetime, run: Run, event: Event, naming: Naming) -> RunEvent:
    ended = state is not RunState.START
    return RunEvent(
        eventTime=at.isoformat(),
        eventType=state,
        run=Run(runId=run.runId, facets=_run_facets(event, naming, state)),
        job=Job(naming.namespace, _job(event, naming), facets=_job_facets(event, naming)),
        inputs=inputs_of(event, naming.namespace),
        outputs=outputs_of(event, naming.namespace) if ended else [],
        producer=PRODUCER,
    )


def _pipeline(event: Event, naming: Naming) -> Run:
    return Run(runId=_pipeline_id(naming, event.run or event.key), facets={})


def _pipeline_id(naming: Naming, run: str) -> str:
    return str(uuid.uuid5(_RUNS, f"{naming.namespace}/{run}"))


def _job(event: Event, naming: Naming) -> str:
    if event.kind in ("run.started", "run.finished"):
        return naming.pipeline
    stage = _STAGES.get(event.kind, event.kind)
    subject = event.subject.partition(":")[0]  # a ref's version is the run's, not the job's
    return stage if stage == subject else f"{stage}.{subject}"


def _job_facets(event: Event, naming: Naming) -> dict[str, JobFacet]:
    kind = "PIPELINE" if event.kind.startswith("run.") else "TASK"
    facets: dict[str, JobFacet] = {
        "jobType": job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration="ONWARD", jobType=kind, producer=PRODUCER
        )
    }
    commit = event.facts.get("commit")
    if commit and naming.repository:
        facets["sourceCodeLocation"] = source_code_location_job.SourceCodeLocationJobFacet(
            type="git",
            url=naming.repository,
            repoUrl=naming.repository,
            version=str(commit),
            producer=PRODUCER,
        )
    return facets


def _run_facets(event: Event, naming: Naming, state: RunState) -> dict[str, RunFacet]:
    facets: dict[str, RunFacet] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=VERSION, name="Onward", openlineageAdapterVersion=VERSION, producer=PRODUCER
        )
    }
    if event.run and not event.kind.startswith("run."):
        facets["parent"] = parent_run.ParentRunFacet(
            run=parent_run.Run(runId=_pipeline_id(naming, event.run)),
            job=parent_run.Job(namespace=naming.namespace, name=naming.pipeline),
            producer=PRODUCER,
        )
    if state is RunState.FAIL:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=_reason(event), programmingLanguage="PYTHON", producer=PRODUCER
        )
    if event.facts.get("parameters"):
        facets["executionParameters"] = execution_parameters_run.ExecutionParametersRunFacet(
            parameters=[
                execution_parameters_run.ExecutionParameter(key=str(key), value=str(value))
                for key, value in event.facts["parameters"].items()
            ],
            producer=PRODUCER,
        )
    gates = _gates(event.facts)
    if gates and state is not RunState.START:
        facets["test"] = test_run.TestRunFacet(tests=gates, producer=PRODUCER)
    return facets


def _reason(event: Event) -> str:
    if event.kind == "run.finished":
        return str(event.facts.get("reason", "failed"))
    failed = [t.description or t.name for t in _gates(event.facts) if t.status == "fail"]
    return "; ".join(failed) or "refused"


def _gates(facts: Mapping[str, Any]) -> list[test_run.TestExecution]:
    """Return an evaluation's gates, or an acceptance's checks, as tests."""
    found = _of(facts, "report", "gates") or _of(facts, "deployment", "checks")
    return [
        test_run.TestExecution(
            name=gate["gate"],
            status="pass" if gate["passed"] else "fail",
            severity="error",
            type="gate",
            description=gate["reason"],
        )
        for gate in found
    ]


def _of(facts: Mapping[str, Any], record: str, name: str) -> list[Mapping[str, Any]]:
    return list((facts.get(record) or {}).get(name) or ())
