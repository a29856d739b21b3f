"""Which snapshots stay, and who needs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from onward.core.clock import ReplayClock
from onward.core.events import Event
from onward.core.refs import ref
from onward.flow.keeping.retention import retention
from onward.flow.keeping.upkeep import compact, sweep, sweep_due, weigh
from onward.infra.database import open_database
from onward.infra.lake.iceberg import open_lake
from onward.watch.audit.adapters.sql import SqlLedger

DAY = timedelta(days=1)
NOW = datetime.now(UTC)


class Shop:
    """A lake and a ledger, and a clock that stands two months after the rows came."""

    def __init__(self, folder: Path) -> None:
        self.lake = open_lake(folder / "lake")
        self.ledger = SqlLedger(open_database(folder / "onward.db"))
        self.clock = ReplayClock(NOW + 60 * DAY)
        self.site = SimpleNamespace(lake=self.lake, ledger=self.ledger, clock=self.clock)
        self.ids = [
            self.lake.append("raw.n", pa.table({"id": [n]}), key=str(n)).id for n in range(5)
        ]

    def tell(self, kind: str, key: str, *, at: datetime = NOW, inputs=(), outputs=(), **facts):
        self.ledger.append(
            Event(
                kind=kind, key=key, subject=key, at=at, run=key,
                inputs=tuple(inputs), outputs=tuple(outputs), facts=facts,
            )
        )  # fmt: skip

    def begin(self, run: str, at: datetime) -> None:
        wish = {"id": run, "reason": "", "trigger": "request", "requested_at": at.isoformat()}
        self.tell("run.started", run, at=at, request=wish, digest="", commit=None)

    def end(self, run: str) -> None:
        facts = {"state": "promoted", "reason": "", "model": None, "seconds": 1.0}
        self.tell("run.finished", run, **facts)

    def reasons(self, keep: timedelta = 30 * DAY) -> list[str | None]:
        [of] = [r for r in retention(self.site, keep=keep, grace=DAY) if r.table == "raw.n"]
        return [v.because for v in of.verdicts]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_old_snapshots_go_and_the_newest_stays(shop: Shop) -> None:
    assert shop.reasons() == [None, None, None, None, "newest"]
    assert shop.reasons(keep=90 * DAY) == ["recent"] * 4 + ["newest"]


def test_what_a_registered_model_was_made_from_stays(shop: Shop) -> None:
    first, _, third, *_ = (ref("snapshot", "raw.n", id_) for id_ in shop.ids)
    shop.tell("batch.audited", "b", inputs=["batch:raw.n@r1", first], outputs=[third])
    shop.tell("training.built", "t", inputs=[third], outputs=["training:abc"])
    shop.tell("model.trained", "m", inputs=["training:abc"], outputs=["trained:def"])
    assert shop.reasons()[2] is None
    shop.tell("model.registered", "m", inputs=["trained:def"], outputs=["model:late@1"])
    assert shop.reasons() == [None, None, "model:late@1", None, "newest"]


def test_what_was_current_during_an_open_run_stays(shop: Shop) -> None:
    history = shop.lake.history("raw.n")
    shop.begin("r1", at=history[2].at + (history[3].at - history[2].at) / 2)
    assert shop.reasons() == [None, None, "run r1 is open", "run r1 is open", "newest"]
    shop.end("r1")
    assert shop.reasons()[2] is None


def test_what_a_table_was_made_from_stays_and_all_after_it(shop: Shop) -> None:
    read = ref("snapshot", "raw.n", shop.ids[1])
    rows = pa.table({"id": [1]})
    shop.lake.append("derived.m", rows, key="1", state={"inputs": f'["{read}"]'})
    because = "read by derived.m"
    assert shop.reasons() == [None, because, because, because, "newest"]


def test_a_sweep_does_what_was_weighed_and_tells_the_ledger(shop: Shop) -> None:
    shop.lake.stage("raw.n", pa.table({"id": [9]}), branch="audit-r0", mode="append", summary={})
    assert sweep_due(shop.site, DAY)
    [weighed] = weigh(shop.site, retention(shop.site, keep=30 * DAY, grace=DAY))
    [swept] = sweep(shop.site, keep=30 * DAY, grace=DAY)
    assert swept == weighed
    assert (len(swept.snapshots), swept.branches) == (5, ("audit-r0",))  # one was on the branch
    [told] = shop.ledger.events(kind="lake.swept")
    assert told.event.facts["tables"][0]["files"] == swept.files
    assert not sweep_due(shop.site, DAY)
    assert shop.lake.read("raw.n").num_rows == 5


def test_a_branch_of_an_open_run_stays(shop: Shop) -> None:
    shop.begin("r1", at=NOW - DAY)
    shop.lake.stage("raw.n", pa.table({"id": [9]}), branch="audit-r1", mode="append", summary={})
    sweep(shop.site, keep=30 * DAY, grace=DAY)
    assert list(shop.lake.branches()["raw.n"]) == ["audit-r1"]


def test_every_table_is_compacted(shop: Shop) -> None:
    shop.lake.append("raw.one", pa.table({"id": [1]}), key="1")
    [done] = compact(shop.site, every=4)
    assert (done.table, done.files, done.rows) == ("raw.n", 1, 5)
