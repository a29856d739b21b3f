"""dbt projects: their models as transforms, and a build of them from published snapshots."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.core import fingerprint
from onward.core.declarations import Check, require_name
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.core.ports import Lake
from onward.core.records import Batch, DatasetRef
from onward.core.sql import identifier, literal
from onward.stages.transform.code import checks_of
from onward.stages.transform.config import DbtProject, Transform
from onward.stages.transform.derive import table_rows
from onward.stages.transform.port import TARGET, Dbt, DbtModel, DbtSource, DbtTest, Manifest
from onward.stages.transform.staging import Staging

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class DbtBuilt:
    """The batches that a build left on audit branches, and the tests that judge them."""

    batches: tuple[Batch, ...]
    tests: tuple[DbtTest, ...]


def transforms(project: DbtProject, manifest: Manifest, folder: Path) -> tuple[Transform, ...]:
    """Return a project's models as transforms, each after what it reads.

    Raises
    ------
    DeclarationError
        A model's name cannot name a table, or checks are given for a model that is not there.
    """
    names = [model.name for model in manifest.models]
    for name in project.checks:
        if name not in names:
            what, expected = unknown_name("dbt model", name, names)
            raise DeclarationError(what, expected=expected, location=project.location)
    return tuple(
        Transform(
            name=require_name(model.name, "transform", project.location),
            function=None,
            sql_file=None,
            inputs=model.reads,
            checks=project.checks.get(model.name, ()),
            dbt=project,
            tags=model.tags,
            location=Location(str(folder / project.folder / model.file), 1),
        )
        for model in manifest.models
    )


def build_dbt(
    wanted: Sequence[Transform],
    *,
    dbt: Dbt,
    lake: Lake,
    inputs: Mapping[str, DatasetRef],
    scratch: Path,
    run: str,
    afresh: bool = False,
) -> DbtBuilt:
    """Run a dbt project for those of its models that are not up to date, and stage what it made.

    The models that these read are built too, in the scratch database; they are not staged. A
    model that dbt skipped, because a test of what it reads failed, is not staged either.

    Raises
    ------
    DeclarationError
        dbt is not there, or refuses the project.
    DataError
        A model fails, or a test of a source or of the code.
    """
    project = wanted[0].dbt
    assert project is not None
    manifest = dbt.manifest(project)
    models = {model.name: model for model in manifest.models}
    due = [
        staging
        for transform in wanted
        if not (staging := _staging(transform, models, manifest, lake, inputs, run)).up_to_date
        or afresh
    ]
    if not due:
        return DbtBuilt(batches=(), tests=())
    ours = [models[staging.transform.name] for staging in due]
    sources = {source.relation: source for model in ours for source in model.sources}
    with _emptied(scratch):
        _fill(scratch, lake, inputs, list(sources.values()))
        outcome = dbt.build(project, [model.id for model in ours], scratch=scratch)
        batches = [
            _stage(staging, model, scratch)
            for staging, model in zip(due, ours, strict=True)
            if model.id in outcome.made
        ]
    return DbtBuilt(batches=tuple(batches), tests=outcome.tests)


@contextmanager
def _emptied(scratch: Path) -> Iterator[None]:
    """Begin with an empty folder, and leave none: what is in it are copies of rows."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def verdicts(tests: Sequence[DbtTest], model: str) -> tuple[Check, ...]:
    """Return a model's dbt tests as batch checks whose answer is known."""
    return tuple(
        Check(
            name=f"dbt: {test.name}",
            rule=_passed if test.status == "pass" else _failed,
            scope="batch",
            severity="warn" if test.status == "warn" else "hold",
        )
        for test in tests
        if model in test.models
    )


# Aggregates, as every batch rule is: a constant would be answered row by row.
def _passed(table: ir.Table) -> Any:
    return table.count() >= 0


def _failed(table: ir.Table) -> Any:
    return table.count() < 0


def _staging(
    transform: Transform,
    models: Mapping[str, DbtModel],
    manifest: Manifest,
    lake: Lake,
    inputs: Mapping[str, DatasetRef],
    run: str,
) -> Staging:
    sources = models[transform.name].sources
    state = {
        "code": fingerprint.of_text(manifest.digest, *checks_of(transform.checks)),
        "inputs": json.dumps(sorted(inputs[source.name].ref for source in sources)),
    }
    head = lake.head(transform.table)
    return Staging(transform=transform, lake=lake, run=run, head=head, state=state)


def _fill(
    scratch: Path, lake: Lake, inputs: Mapping[str, DatasetRef], sources: Sequence[DbtSource]
) -> None:
    """Show each source in its database, as a view of the snapshot's files where that can be."""
    databases = {TARGET, *(source.relation.database for source in sources)}
    with lake.open({source.name: inputs[source.name] for source in sources}) as backend:
        for database in sorted(databases):
            file = literal(str(scratch / f"{database}.duckdb"))
            backend.con.execute(f"ATTACH {file} AS {identifier(f'_{database}')}")
        for source in sources:
            _show(backend, source)


def _show(backend: Backend, source: DbtSource) -> None:
    where = source.relation
    schema = f"{identifier(f'_{where.database}')}.{identifier(where.schema)}"
    backend.con.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    found = backend.con.execute(
        "SELECT sql FROM duckdb_views() WHERE view_name = ? AND NOT internal", [source.name]
    ).fetchone()
    kind, body = "TABLE", f"FROM {identifier(source.name)}"
    if found is not None:
        kind, body = "VIEW", found[0].partition(" AS ")[2].rstrip(";\n ")
    backend.con.execute(f"CREATE {kind} {schema}.{identifier(where.name)} AS {body}")


def _stage(staging: Staging, model: DbtModel, scratch: Path) -> Batch:
    import ibis

    where = model.relation
    backend = ibis.duckdb.connect(scratch / f"{TARGET}.duckdb")
    try:
        for file in scratch.glob("*.duckdb"):
            if file.stem != TARGET:
                backend.attach(file, file.stem, read_only=True)
        table = backend.table(where.name, database=(where.database, where.schema))
        return staging.stage(
            table_rows(staging.transform, table), inputs=json.loads(staging.state["inputs"])
        )
    finally:
        backend.disconnect()
