"""File descriptors: no number of clients takes those that a worker needs itself."""

from __future__ import annotations

import resource
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import create_connection
from urllib.parse import urlsplit

import httpx
import pytest
from gateway_site import Site, routes_of, serving

from onward.stages.serve.gateway.process.descriptors import SPARE, connections_within

ANY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limit", "most", "allowed", "then"),
    [
        (1_024, 1 << 20, 10_000, 10_000 + SPARE),
        (1_024, ANY, 10_000, 10_000 + SPARE),
        (1_024, 4_096, 4_096 - SPARE, 4_096),
        (100, 100, 50, 100),
        (1 << 20, 1 << 20, 10_000, None),
        (ANY, ANY, 10_000, None),
    ],
)
def test_as_many_connections_as_files_may_be_open(monkeypatch, limit, most, allowed, then):
    limits = {resource.RLIMIT_NOFILE: (limit, most)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    assert connections_within(10_000) == allowed
    assert limits[resource.RLIMIT_NOFILE][0] == (limit if then is None else then)


def test_a_worker_outlives_that_no_file_can_be_opened(tmp_path, image):
    with serving(tmp_path, routes_of((image("plain"), 100.0))) as site:
        pid, where = site.server.pid, urlsplit(site.server.url)
        few = len([*Path(f"/proc/{pid}/fd").iterdir()]) + 4
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, few))
        assert before[0] > SPARE
        log = tmp_path / "state" / "gateway.log"
        with ExitStack() as held:
            for _ in range(8):
                held.enter_context(create_connection((where.hostname, where.port)))
            site.until(lambda: "Too many open files" in log.read_text())
        site.until(lambda: _ready(site))
        assert site.server.alive()


def _ready(site: Site) -> bool:
    with suppress(httpx.TransportError):  # what could not be accepted was reset
        return site.client.get("/v2/health/ready").status_code == 200
    return False
