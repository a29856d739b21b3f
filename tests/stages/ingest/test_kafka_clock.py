"""Topics of Kafka while the wall clock is set back and forth."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kafka_shop import order

from services.clock import WallClock
from services.kafka import Kafka

DRIVER = Path(__file__).with_name("reads_orders.py")
PATIENCE_S = 120


def test_reading_goes_on_when_the_clock_is_set(
    kafka: Kafka, wall_clock: WallClock, tmp_path: Path
) -> None:
    kafka.send("orders", order(1))
    command = [sys.executable, str(DRIVER), kafka.brokers, str(tmp_path)]
    environment = {**wall_clock.environment, "PYTHONPATH": ":".join(filter(None, sys.path))}
    with (
        ThreadPoolExecutor(1) as pool,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as reader,
    ):
        assert reader.stdout is not None

        def said() -> str:
            return pool.submit(reader.stdout.readline).result(PATIENCE_S).strip()

        try:
            for day in (-1, 9, 8):
                assert said() == "waits"
                for hour in range(10):  # one of them while librdkafka is asked, were it to wait
                    wall_clock.set(86_400 * day - 3_600 * hour)
                    time.sleep(0.03)
                assert said() in ("0", "1")
            kafka.send("orders", order(2))
            while said() != "2":
                pass
        finally:
            reader.kill()
