"""What the lake's tests run in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow as pa

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["onward.infra.lake.iceberg", "sqlalchemy.dialects.sqlite"])


def start(target: Callable[..., None], *args: object) -> BaseProcess:
    process = PROCESSES.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def numbers(*values: int) -> pa.Table:
    return pa.table({"id": pa.array(values, pa.int64())})


def append_many(folder: Path, writer: int, count: int, barrier) -> None:
    from onward.infra.lake.iceberg import open_lake

    lake = open_lake(folder)
    barrier.wait(60)
    for turn in range(count):
        lake.append("raw.n", numbers(writer * 1000 + turn), key=f"{writer}.{turn}")


def append_same(folder: Path, key: str, barrier) -> None:
    from onward.infra.lake.iceberg import open_lake

    lake = open_lake(folder)
    barrier.wait(60)
    lake.append("raw.n", numbers(7), key=key)


def append_column(folder: Path, name: str, barrier) -> None:
    from onward.infra.lake.iceberg import open_lake

    lake = open_lake(folder)
    barrier.wait(60)
    lake.append("raw.n", numbers(0).append_column(name, pa.array([name])), key=name)


def publish(folder: Path, branch: str, expect: int | None, barrier, answers) -> None:
    from onward.core.errors import DivergedError
    from onward.infra.lake.iceberg import open_lake

    lake = open_lake(folder)
    barrier.wait(60)
    try:
        lake.publish("raw.n", branch, expect=expect)
    except DivergedError:
        answers.put((branch, "diverged"))
    else:
        answers.put((branch, "published"))


def upsert_same(folder: Path, writer: int, count: int, barrier) -> None:
    """Upsert the same ten new keys each turn, again whenever another writer was faster."""
    from onward.core.errors import DivergedError
    from onward.infra.lake.iceberg import open_lake

    lake = open_lake(folder)
    barrier.wait(60)
    for turn in range(count):
        ids = range(10 * turn, 10 * turn + 10)
        rows = numbers(*ids).append_column("writer", pa.array([writer] * 10))
        while True:
            head = lake.head("raw.n")
            try:
                lake.stage(
                    "raw.n", rows, branch=f"b{writer}", mode="upsert", summary={}, key=["id"]
                )
                lake.publish("raw.n", f"b{writer}", expect=head and head.id)
                break
            except DivergedError:
                continue


def compact_often(folder: Path, count: int, barrier) -> None:
    from onward.infra.lake.iceberg import open_lake

    lake = open_lake(folder)
    barrier.wait(60)
    for _ in range(count):
        lake.compact("raw.n", every=1)


def killed_at(step: int, work: Callable[..., None], folder: Path) -> None:
    """Do `work`, and end by SIGKILL at its step-th fsync, edge of a commit, or file's removal."""
    from pyiceberg.catalog.sql import SqlCatalog

    from onward.infra.lake.durable import DurableFileIO
    from onward.infra.lake.iceberg import open_lake

    lake = open_lake(folder)
    remaining = step

    def count() -> None:
        nonlocal remaining
        remaining -= 1
        if remaining == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function, after: bool):
        def call(*args, **kwargs):
            count()
            result = function(*args, **kwargs)
            if after:
                count()
            return result

        return call

    os.fsync = counted(os.fsync, after=False)
    for verb in ("create_namespace", "create_table", "commit_table"):
        setattr(SqlCatalog, verb, counted(getattr(SqlCatalog, verb), after=True))
    DurableFileIO.delete = counted(DurableFileIO.delete, after=False)
    work(lake)


def stage_new(lake) -> None:
    lake.stage("raw.new", numbers(1, 2), branch="b", mode="append", summary={"key": "new"})


def stage_wider(lake) -> None:
    wider = numbers(1, 2).append_column("extra", pa.array(["x", "y"]))
    lake.stage("raw.n", wider, branch="b", mode="append", summary={"key": "wider"})


def replace(lake) -> None:
    other = pa.table({"other": [1.5]})
    lake.stage("raw.n", other, branch="b", mode="replace", summary={"key": "replaced"})


def upsert(lake) -> None:
    lake.stage("raw.n", numbers(2, 3), branch="b", mode="upsert", summary={"key": "u"}, key=["id"])


def publish_staged(lake) -> None:
    lake.publish("raw.n", "staged", expect=lake.history("raw.n")[0].id, key="staged")


def append(lake) -> None:
    lake.append("raw.n", numbers(9), key="appended")


def compact(lake) -> None:
    lake.compact("raw.n", every=0)


def erase(lake) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    lake.erase("raw.n", lambda t: t.id == 2, orphaned_before=later)


def sweep(lake) -> None:
    """Let everything go that is not main's head: snapshots, a branch, and what is abandoned."""
    old = [s.id for s in lake.history("raw.n")][:-1]
    later = datetime.now(UTC) + timedelta(days=1)
    lake.sweep("raw.n", snapshots=old, branches=["b"], before=later)


def sweep_often(folder: Path, count: int, barrier) -> None:
    from onward.infra.lake.iceberg import open_lake

    lake = open_lake(folder)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    barrier.wait(60)
    for _ in range(count):
        old = [s.id for s in lake.history("raw.n")][:-2]
        lake.sweep("raw.n", snapshots=old, branches=[], before=hour_ago)


def publish_many(folder: Path, count: int, barrier) -> None:
    """Stage and publish, again whenever main's rows moved on meanwhile."""
    from onward.core.errors import DivergedError
    from onward.infra.lake.iceberg import open_lake

    lake = open_lake(folder)
    barrier.wait(60)
    for turn in range(count):
        while True:
            base = lake.head("raw.n").id
            rows = numbers(5_000 + turn)
            summary = {"key": f"p{turn}"}
            lake.stage("raw.n", rows, branch="p", mode="append", summary=summary)
            try:
                lake.publish("raw.n", "p", expect=base, key=f"p{turn}")
                break
            except DivergedError:
                continue
