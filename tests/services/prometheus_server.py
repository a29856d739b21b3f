"""A Prometheus server of a test's own, on a free port, which scrapes what it is told to."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from services.redis_server import free_port


@dataclass
class Prometheus:
    """A server that scrapes one target five times a second."""

    url: str
    process: subprocess.Popen[bytes]

    def query(self, expression: str) -> dict[str, float]:
        """Return what an expression gives now: a value for each set of labels, as JSON text."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        return {
            json.dumps({k: v for k, v in each["metric"].items() if k not in ("instance", "job")}):
                float(each["value"][1])
            for each in answer["data"]["result"]
        }  # fmt: skip

    def until(self, expression: str, timeout_s: float = 60.0) -> dict[str, float]:
        """Wait until an expression gives something, and return it."""
        deadline = time.monotonic() + timeout_s
        while not (found := self.query(expression)):
            assert time.monotonic() < deadline, f"{expression} gives nothing"
            time.sleep(0.05)
        return found


@contextlib.contextmanager
def running_prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """Run a server of the block's own that scrapes `target`, a host and port."""
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [{"job_name": "onward", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    process = subprocess.Popen(
        ["prometheus", f"--config.file={folder}/prometheus.yml",
         f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    server = Prometheus(f"http://127.0.0.1:{port}", process)
    deadline = time.monotonic() + 60
    try:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{server.url}/-/ready").status_code == 200:
                    break
            assert process.poll() is None, "prometheus ended at once"
            assert time.monotonic() < deadline, "prometheus does not answer"
            time.sleep(0.05)
        yield server
    finally:
        process.kill()
        process.wait()
