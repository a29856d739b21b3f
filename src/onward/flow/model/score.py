"""Scoring a table: its rows past the model, in many processes, into an audited table."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.core.declarations import Check
from onward.core.errors import DataError, DeclarationError, unknown_name
from onward.core.records import Batch, DatasetRef, ImageRef, ValidationReport
from onward.flow.data.audits import tell_audit
from onward.flow.data.quarantine import settled
from onward.flow.happened import happened, timed
from onward.flow.plans import plan_of
from onward.flow.site import Site
from onward.stages.serve.gateway.settings import Factory
from onward.stages.serve.scoring import Scorer, require_columns, score_file
from onward.stages.validate.step import audit

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

NAMESPACE: Final = "scores"
SHARE: Final = 500_000
"""Rows of one process's share: a file in, a file out."""

Heard = Callable[[int, int], None]
"""Told how many rows of how many are scored."""


def unheard(_done: int, _rows: int) -> None:
    """Tell nobody."""


def _answered(rows: ir.Table) -> ir.BooleanValue:
    return rows["error"].isnull()


ANSWERED: Final = Check(name="the model answered", rule=_answered, scope="row")
"""What the audit asks of every row: those that the gateway would refuse go to quarantine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What came of scoring a table: how many rows, how many of them the model gave no answer to,
    and the published snapshot, None where the audit held it back.
    """

    table: str
    model: str
    read: DatasetRef
    rows: int
    failed: int
    published: DatasetRef | None
    report: ValidationReport
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """What is to be scored by which image, and where the answers go.

    `keep` are the columns of the table that go with the answers. `online` opens the online store
    elsewhere. `share` is how many rows a process is given at a time, `workers` how many work at
    once.
    """

    table: str
    image: ImageRef
    into: str
    keep: tuple[str, ...]
    online: Factory | None
    workers: int
    share: int


def score(site: Site, scoring: Scoring, *, heard: Heard) -> Scored:
    """Score a published snapshot's rows and publish the answers, which replace earlier ones.

    For each row there is what the gateway would answer now: views are read from the online store.
    Rows in = rows published + rows quarantined; those without an answer are the quarantined. If
    it is cut short nothing is published, and it can be done again.

    Raises
    ------
    NotFoundError
        The table has never been published.
    DataError
        It has not the model's request columns.
    DeclarationError
        `keep` names what the table has not.
    UnavailableError
        The online store does not answer.
    """
    read = site.lake.dataset(scoring.table)
    schema = site.lake.schema(scoring.table)
    assert schema is not None
    if not read.rows:
        raise DataError(f"{scoring.table} has no rows", expected="one or more, to be scored")
    model = scoring.image.model
    plan = plan_of(model)
    require_columns(plan, schema, scoring.table, model)
    for name in scoring.keep:
        if name not in schema.names:
            what, expected = unknown_name("column", name, schema.names)
            raise DeclarationError(f"{scoring.table}: {what}", expected=expected)
    now = site.clock.now()
    run = f"score-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    scorer = Scorer(
        image=scoring.image,
        cache=str(site.folders.gateway / "unpacked"),
        online=scoring.online,
        at_us=round(now.timestamp() * 1_000_000),
        keep=scoring.keep,
    )
    wanted = tuple(dict.fromkeys((*scoring.keep, *(c.name for c in plan.request))))
    _forget_killed(site.folders.scoring)
    scratch = Path(tempfile.mkdtemp(dir=site.folders.scoring, prefix=f"{os.getpid()}-"))
    try:
        work = (site, scoring, scorer, read, wanted, scratch, heard)
        (files, failed), seconds = timed(_in_shares, *work)
        batch = _stage(site, scoring, read, run, files, [view.ref for view in plan.views])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _tell(site, scoring, batch, seconds, failed)
    report, judged = timed(audit, batch, (ANSWERED,), lake=site.lake, clock=site.clock)
    tell_audit(site, batch, report, judged)
    return Scored(
        table=scoring.into,
        model=model.ref,
        read=read,
        rows=batch.rows,
        failed=failed,
        published=report.published,
        report=report,
        seconds=seconds,
    )


def _forget_killed(folder: Path) -> None:
    """Remove the rows that killed processes left: nobody else would, and they may be personal."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("[0-9]*-*"):
        try:
            os.kill(int(left.name.partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except PermissionError:  # somebody else's, and alive
            continue


def _in_shares(
    site: Site,
    scoring: Scoring,
    scorer: Scorer,
    read: DatasetRef,
    columns: Sequence[str],
    scratch: Path,
    heard: Heard,
) -> tuple[list[Path], int]:
    """Score the snapshot share by share; return the files of answers in order, and the failures."""
    waiting: deque[tuple[Path, int, Future[int]]] = deque()
    files: list[Path] = []
    done = failed = 0

    def finish() -> None:
        nonlocal done, failed
        file, rows, future = waiting.popleft()
        failed += future.result()
        files.append(file)
        done += rows
        heard(done, read.rows)

    with ThreadPoolExecutor(scoring.workers) as pool:
        for source, rows in _shares(site, read, columns, scratch, scoring.share):
            target = source.with_suffix(".scored")
            future = pool.submit(_share, site, scorer, source, target)
            waiting.append((target, rows, future))
            if len(waiting) > scoring.workers:  # one more is ready when a process is free
                finish()
        while waiting:
            finish()
    return files, failed


def _share(site: Site, scorer: Scorer, source: Path, target: Path) -> int:
    failed = site.compute.run(score_file, scorer, str(source), str(target), name=source.stem)
    source.unlink()
    return failed


def _shares(
    site: Site, read: DatasetRef, columns: Sequence[str], scratch: Path, share: int
) -> Iterator[tuple[Path, int]]:
    """Write a snapshot's columns to files of `share` rows; yield each with its number of rows."""
    import pyarrow.parquet as pq

    with site.lake.open({"rows": read}) as backend:
        rows = backend.table("rows").select(*columns).to_pyarrow_batches(chunk_size=share)
        for number, batch in enumerate(_sized(rows, share)):
            file = scratch / f"share-{number:05}.parquet"
            pq.write_table(batch, file)
            yield file, batch.num_rows


def _sized(rows: pa.RecordBatchReader, share: int) -> Iterator[pa.Table]:
    """Yield the rows as tables of `share` rows, the last one smaller."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    count = 0
    for batch in rows:
        held.append(batch)
        count += batch.num_rows
        while count >= share:
            table = pa.Table.from_batches(held)
            yield table.slice(0, share)
            held = table.slice(share).to_batches()
            count -= share
    if count:
        yield pa.Table.from_batches(held)


def _stage(
    site: Site,
    scoring: Scoring,
    read: DatasetRef,
    run: str,
    files: Sequence[Path],
    views: Sequence[str],
) -> Batch:
    settled(site, scoring.into)
    head = site.lake.head(scoring.into)
    base = None if head is None else head.id
    image, branch = scoring.image, f"audit-{run}"
    inputs = (read.ref, image.ref, image.model.ref, *views)
    summary = {"key": f"{run}@{base}", "run": run}
    state = {"inputs": json.dumps(inputs)}
    staged = site.lake.stage(
        scoring.into, _rows(files), branch=branch, mode="replace", summary=summary, state=state
    )
    return Batch(
        dataset=scoring.into,
        table=scoring.into,
        branch=branch,
        run=run,
        mode="replace",
        rows=read.rows,
        base=base,
        snapshot=staged.id,
        summary=summary,
        state=state,
        inputs=inputs,
    )


def _rows(files: Sequence[Path]) -> pa.RecordBatchReader:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            with pq.ParquetFile(file) as opened:
                yield from opened.iter_batches()

    return pa.RecordBatchReader.from_batches(pq.read_schema(files[0]), batches())


def _tell(site: Site, scoring: Scoring, batch: Batch, seconds: float, failed: int) -> None:
    happened(
        site,
        "table.scored",
        batch.table,
        key=batch.ref,
        run=batch.run,
        inputs=batch.inputs,
        outputs=(batch.ref,),
        rows=batch.rows,
        failed=failed,
        model=scoring.image.model.ref,
        seconds=seconds,
    )
