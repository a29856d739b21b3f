"""What the tests of ingestion run in processes of their own."""

from __future__ import annotations

import multiprocessing
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event
from typing import Any

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "confluent_kafka",
        "onward.app.ingest",
        "onward.app.project",
        "onward.app.site",
        "onward.infra.lake.iceberg",
        "onward.infra.masks.masks",
        "onward.stages.ingest.adapters.kafka",
        "sqlalchemy.dialects.sqlite",
    ]
)


def start(target: Any, *args: object) -> BaseProcess:
    process = PROCESSES.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def take_without_lease(folder: Path, name: str, barrier: Any) -> None:
    """Take in batch after batch until nothing is left, whoever else does the same."""
    from onward.app.project import open_project
    from onward.flow.data.ingest import new_id, take
    from onward.flow.run.runs import new_data

    with open_project(folder) as project:
        source = project.definition.sources[name]
        barrier.wait(120)
        while name in new_data(project.site, project.definition):
            take(project.site, project.definition, source, new_id(project.site), source.micro_batch)


def take_until(folder: Path, name: str, began: Any, stop: Any) -> None:
    """Take in whatever comes until told to stop, as others do; tell when it begins."""
    from onward.app.project import open_project
    from onward.flow.data.ingest import new_id, take
    from onward.flow.run.runs import new_data

    with open_project(folder) as project:
        source = project.definition.sources[name]
        while not stop.is_set():
            if name in new_data(project.site, project.definition):
                began.set()
                take(
                    project.site, project.definition, source, new_id(project.site),
                    source.micro_batch,
                )  # fmt: skip
            else:
                stop.wait(0.05)


def follow(folder: Path, name: str, began: Any = None) -> None:
    """Follow a source until killed; tell when its first batch is begun."""
    from onward.app import leases
    from onward.app.ingest import ingest_on
    from onward.app.project import open_project

    if began is not None:
        begin = leases.Lease.begin

        def told(lease: leases.Lease, run: str) -> None:
            begin(lease, run)
            began.set()

        leases.Lease.begin = told  # type: ignore[method-assign]
    with open_project(folder) as project:
        ingest_on(project, [name], heard=lambda said: None, stop=Event())
