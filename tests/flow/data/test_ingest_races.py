"""Sources taken in by several processes, and by processes that are killed: each row once."""

from __future__ import annotations

import random
from collections import Counter
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from ingest_workers import PROCESSES, follow, start, take_until, take_without_lease

from onward.app.ingest import ingest_once
from onward.app.project import open_project
from onward.infra.lake.iceberg import open_lake
from services.kafka import PARTITIONS, Kafka

SOURCE = """
payments = ow.Source(
    "payments",
    ow.kafka("payments", brokers="{brokers}"),
    key="payment_id",
    event_time="paid_at",
    checks=[ow.check("amount is positive", _.amount > 0)],
    micro_batch=ow.micro_batch(rows={rows}, wait="200ms"),
)
"""


class Payments:
    """A project that reads payments from a topic; one in ten is negative, one in ten poison."""

    def __init__(self, folder: Path, kafka: Kafka, rows: int) -> None:
        self.folder, self._kafka, self.sent = folder, kafka, 0
        file = folder / "pipeline.py"
        source = SOURCE.format(brokers=kafka.brokers, rows=rows)
        file.write_text(file.read_text().replace("\n\n@ow.transform", f"{source}\n\n@ow.transform"))

    def send(self, count: int) -> None:
        for number in range(self.sent, self.sent + count):
            amount = -1 if number % 10 == 3 else 5
            text = f'{{"payment_id": {number}, "paid_at": "2026-01-01", "amount": {amount}}}'
            value = b"poison" if number % 10 == 7 else text.encode()
            self._kafka.send("payments", value, partition=number % PARTITIONS)
        self.sent += count

    def reconcile(self) -> None:
        """Compare every message with the lake: each is there once, good or in quarantine."""
        lake = open_lake(self.folder / ".onward" / "lake")
        where: dict[str, Counter[tuple[int, int]]] = {}
        for table in ("raw.payments", "quarantine.raw_payments"):
            rows = lake.read(table, columns=["kafka_partition", "kafka_offset"]).to_pylist()
            where[table] = Counter((r["kafka_partition"], r["kafka_offset"]) for r in rows)
        good, bad = where.values()
        sent = {(n % PARTITIONS, n // PARTITIONS): n % 10 in (3, 7) for n in range(self.sent)}
        assert good == Counter(place for place, offends in sent.items() if not offends)
        assert bad == Counter(place for place, offends in sent.items() if offends)
        assert set(lake.read("raw.payments")["payment_id"].to_pylist()) == {
            number for number in range(self.sent) if number % 10 not in (3, 7)
        }


def test_four_processes_on_one_table_lose_and_double_nothing(kafka: Kafka, shop: Path) -> None:
    payments = Payments(shop, kafka, rows=20)
    payments.send(160)
    barrier = PROCESSES.Barrier(4)
    processes = [start(take_without_lease, shop, "payments", barrier) for _ in range(4)]
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0] * 4
    payments.reconcile()
    lake = open_lake(shop / ".onward" / "lake")
    assert len(lake.history("raw.payments")) >= 8  # 160 rows by 20: nobody took them whole


@pytest.mark.crash
def test_a_follower_that_is_killed_again_and_again_loses_and_doubles_nothing(
    kafka: Kafka, shop: Path
) -> None:
    chance = random.Random(20260101)
    payments = Payments(shop, kafka, rows=20)
    for _turn in range(6):
        payments.send(60)
        began = PROCESSES.Event()
        process = start(follow, shop, "payments", began)
        assert began.wait(120)
        process.join(chance.uniform(0.0, 1.0))  # killed while it works, wherever that is
        process.kill()
        process.join()
    with open_project(shop) as project:
        ingest_once(project, ["payments"])
        assert ingest_once(project, ["payments"]) == [None]
    payments.reconcile()


@pytest.mark.crash
def test_four_processes_of_which_one_after_the_other_is_killed_lose_and_double_nothing(
    kafka: Kafka, shop: Path, kills: int
) -> None:
    chance = random.Random(20260102)
    payments = Payments(shop, kafka, rows=20)
    stop = PROCESSES.Event()

    def one_more() -> tuple[BaseProcess, Event]:
        began = PROCESSES.Event()
        return start(take_until, shop, "payments", began, stop), began

    payments.send(40)
    workers = [one_more() for _ in range(4)]
    for _kill in range(kills):
        doomed = chance.randrange(4)
        process, began = workers[doomed]
        while not began.wait(1):  # the others may have left it nothing to begin with
            assert process.is_alive()
            payments.send(20)
        payments.send(40)
        process.join(chance.uniform(0.0, 1.0))  # killed while it works, wherever that is
        assert process.exitcode is None
        process.kill()
        process.join()
        workers[doomed] = one_more()
    stop.set()
    for process, _ in workers:
        process.join(240)
        assert process.exitcode == 0
    with open_project(shop) as project:
        while ingest_once(project, ["payments"]) != [None]:
            pass
    payments.reconcile()
    print(f"{kills} kills, {payments.sent:,} messages")


@pytest.mark.crash
def test_who_stands_by_goes_on_when_the_first_is_killed(kafka: Kafka, shop: Path) -> None:
    payments = Payments(shop, kafka, rows=1000)
    payments.send(10)
    began, later = PROCESSES.Event(), PROCESSES.Event()
    first = start(follow, shop, "payments", began)
    assert began.wait(120)
    second = start(follow, shop, "payments", later)
    assert not later.wait(1.0)  # the lease is the first one's
    payments.send(10)
    first.kill()
    assert later.wait(120)
    with open_project(shop) as project:
        lake = project.site.lake
        while sum(lake.dataset(t).rows for t in lake.tables() if t.endswith("payments")) < 20:
            second.join(0.1)
            assert second.is_alive()
    second.kill()
    second.join()
    payments.reconcile()
