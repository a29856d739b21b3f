"""Several workers on one port: killed, renewed, drained, and answering for each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import httpx
import msgspec
import pytest
import trained_models as small
from gateway_load import MODEL, Load
from gateway_site import Site, board, ready, routes_of, serving

from onward.core.errors import BusyError, CorruptError
from onward.stages.serve.gateway.metrics.board import Board, Retired, Told, agreed
from onward.stages.serve.gateway.process.local import read_address, start_gateway
from onward.stages.serve.log.reader import read


class Calls(Load):
    """Callers that open a connection for each request: every worker gets some."""

    def _call(self, seed: int) -> None:
        rows = small.rows(200, seed=seed + 500)
        at = 0
        url = f"{self.site.server.url}{MODEL}/predict"
        while not self._stop.is_set():
            try:
                answer = httpx.post(url, json={"rows": [rows[at % 200]]}, timeout=60)
                self.answers.append((answer.status_code, answer.json()["predictions"][0]))
            except httpx.TransportError as error:
                self.failures.append(repr(error))
                return
            at += 1


def counted(site: Site) -> int:
    """Return how many rows all workers have answered, by one's answer for all."""
    text = httpx.get(f"{site.server.url}/metrics").text
    lines = [t for t in text.splitlines() if t.startswith("onward_predictions_total{")]
    return sum(int(line.rpartition(" ")[2]) for line in lines)


def reconcile(site: Site, load: Load) -> None:
    """Nothing failed, and every answer has a record of its own in the log."""
    assert load.failures == []
    assert {status for status, _ in load.answers} == {200}
    ids = [entry["id"] for _, entry in load.answers]
    logged = {p.id for p in read(site.predictions)[0]}
    assert len(set(ids)) == len(ids)
    assert set(ids) <= logged


@pytest.fixture(scope="module")
def pair(tmp_path_factory, image):
    """A gateway of two workers."""
    folder = tmp_path_factory.mktemp("pair")
    with serving(folder, routes_of((image("plain"), 100.0)), workers=2) as opened:
        yield opened


def test_both_serve_and_each_answers_for_both(pair):
    before = counted(pair)
    with Calls(pair, callers=2) as load:
        load.until(more=60)
    reconcile(pair, load)
    assert len({entry["id"].partition(".")[0] for _, entry in load.answers}) == 2
    pair.until(lambda: counted(pair) >= before + len(load.answers))
    text = pair.client.get("/metrics").text
    assert 'onward_workers{state="ready"} 2' in text
    assert pair.client.get("/v2/health/ready").json() == {"ready": True}


def test_counters_never_go_back_whoever_is_asked(pair):
    with Calls(pair, callers=2) as load:
        seen = [counted(pair) for _ in range(40)]
    assert seen == sorted(seen)
    assert load.failures == []


def test_versions_change_over_all_workers_without_a_dropped_request(tmp_path, image):
    plain, better = image("plain"), image("better")
    with (
        serving(tmp_path, routes_of((plain, 100.0)), workers=2) as site,
        Calls(site, callers=2) as fresh,
        Load(site, callers=2) as kept,
    ):
        for percent in (30.0, 70.0):
            fresh.until(more=40)
            site.route((plain, 100 - percent), (better, percent))
        site.route((better, 100.0))
        mark = len(fresh.answers)
        fresh.until(more=40)
        assert {e["version"] for _, e in fresh.answers[mark + 2 :]} == {2}
    for load in (fresh, kept):
        reconcile(site, load)


@pytest.mark.crash
def test_a_worker_that_is_killed_is_replaced_and_nobody_is_refused(pair):
    """Connections that nobody had accepted yet are taken by the neighbour, then by the new one."""
    before, workers = counted(pair), ready(pair)
    restarts = board(pair)[1].restarts.get(0, 0)
    with Calls(pair, callers=3) as load:
        load.until(more=20)
        os.kill(workers[0], signal.SIGKILL)
        load.until(more=100)
        pair.until(lambda: len(found := ready(pair)) == 2 and found[0] != workers[0])
        load.until(more=20)
    refused = [f for f in load.failures if "ConnectError" in f]
    assert refused == []  # at most what the dead one had accepted is lost
    assert len(load.failures) <= 3
    assert ready(pair)[1] == workers[1]
    assert board(pair)[1].restarts[0] == restarts + 1
    assert f'onward_worker_restarts_total{{slot="0"}} {restarts + 1}' in pair.client.get(
        "/metrics").text  # fmt: skip
    assert counted(pair) > before
    log = (pair.folder / "state/gateway.log").read_text()
    assert f"worker 0 (process {workers[0]}) ended: SIGKILL" in log


def test_sighup_renews_the_workers_one_by_one_without_a_dropped_request(pair):
    workers = ready(pair)
    before = counted(pair)
    with Load(pair, callers=2) as kept, Calls(pair, callers=1) as fresh:
        kept.until(more=20)
        os.kill(pair.server.pid, signal.SIGHUP)
        os.kill(pair.server.pid, signal.SIGHUP)  # under way already
        pair.until(
            lambda: len(r := ready(pair)) == 2 and not set(r.values()) & set(workers.values()), 60
        )
        kept.until(more=20)
    for load in (kept, fresh):
        reconcile(pair, load)
    answered = len(kept.answers) + len(fresh.answers)
    pair.until(lambda: counted(pair) >= before + answered)  # nothing that was counted is forgotten


def test_sigterm_drains_all_of_them(tmp_path, image):
    with serving(tmp_path, routes_of((image("plain"), 100.0)), workers=2) as site:
        pids = ready(site).values()
        with Load(site) as load:
            load.until(more=40)
            site.server.stop()
        assert not site.server.alive()
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        assert read_address(tmp_path / "state") is None
        assert board(site)[0] == []
    assert {status for status, _ in load.answers} == {200}
    logged = {p.id for p in read(tmp_path / "predictions")[0]}
    assert {entry["id"] for _, entry in load.answers} <= logged


def test_workers_end_with_the_supervisor_and_it_with_its_parent(tmp_path, image):
    """Both are killed outright in turn: nobody is left."""
    import select

    config = serving(tmp_path, routes_of((image("plain"), 100.0)), workers=2).config
    code = f"""
import msgspec, os, time
from onward.stages.serve.gateway.process.local import start_gateway
from onward.stages.serve.gateway.settings import GatewayConfig
config = msgspec.json.decode({msgspec.json.encode(config)!r}, type=GatewayConfig)
print(start_gateway(msgspec.structs.replace(config, parent=os.getpid())).pid, flush=True)
time.sleep(600)
"""
    for victim in ("parent", "supervisor"):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            supervisor = int(parent.stdout.readline())
            pids = [told.pid for told in Board(tmp_path / "state").read()[0]]
            handles = [os.pidfd_open(pid) for pid in (*pids, supervisor)]
            os.kill(parent.pid if victim == "parent" else supervisor, signal.SIGKILL)
            for handle in handles:
                assert select.select([handle], [], [], 20)[0], victim
                os.close(handle)
            parent.kill()


def test_what_cannot_start_says_why_once(tmp_path, image):
    options = {"workers": 2, "routes": None, "online": None}
    broken = replace(image("plain"), digest="sha256:" + "0" * 64)
    with pytest.raises(CorruptError, match="does not hold image") as caught:
        serving(tmp_path / "a", image=broken, **options).__enter__()
    assert str(caught.value).count("does not hold image") == 1
    with serving(tmp_path / "b", routes_of((image("plain"), 100.0)), workers=2) as site:
        port = int(site.server.url.rpartition(":")[2])
        for workers in (1, 2):
            (tmp_path / f"c{workers}").mkdir()
            with pytest.raises(BusyError, match=f"port {port} on 127.0.0.1 is taken"):
                serving(tmp_path / f"c{workers}", port=port, workers=workers).__enter__()


def test_one_worker_alone_goes_on_after_sighup(site):
    os.kill(site.server.pid, signal.SIGHUP)
    log = site.folder / "state/gateway.log"
    site.until(lambda: "SIGHUP renews workers one by one" in log.read_text())
    assert site.client.get("/v2/health/ready").status_code == 200


def test_a_configuration_without_workers_is_refused(tmp_path):
    with pytest.raises(ValueError, match="one worker at least"):
        start_gateway(serving(tmp_path, workers=0).config)


def routes(version: str | None, refused: str | None = None) -> dict[str, object]:
    of = refused and f"of {refused}"
    return {"m": {"version": version, "refused": refused, "refused_version": of, "routes": []}}


def test_routes_that_differ_have_no_version_until_they_agree():
    assert agreed([routes("b"), routes("a")])["m"]["version"] is None
    assert agreed([routes("b"), routes("b")])["m"]["version"] == "b"
    refused = agreed([routes("b"), routes("a", "corrupt")])["m"]
    assert (refused["refused"], refused["refused_version"]) == ("corrupt", "of corrupt")
    assert agreed([{}, routes("b")])["m"]["version"] == "b"
    assert agreed([]) == {}


def test_a_worker_that_retires_while_the_board_is_read_is_counted_once(tmp_path):
    place = Board(tmp_path)
    place.clear()
    samples = {"onward_online_reads_total": {(): 3.0}}
    told = Told(id="0-a", slot=0, pid=1, since=0.0, state="ready", routes={}, samples=samples)
    place.tell(told)
    assert place.read() == ([told], Retired())
    place.retire(Retired(ids=["0-a"], samples=samples))
    place.tell(told)  # its last word comes late
    assert place.read() == ([], Retired(ids=["0-a"], samples=samples))
    assert place.find("1-b") is None


def test_a_garbled_word_counts_for_nothing_and_is_told_once(tmp_path, capsys):
    place = Board(tmp_path)
    place.clear()
    told = Told(id="0-a", slot=0, pid=1, since=0.0, state="ready", routes={}, samples={})
    for file in ("0-a", "retired"):
        (tmp_path / "workers" / file).write_bytes(b"\xc1")
    for _ in range(2):
        assert place.read() == ([], Retired())
    said = capsys.readouterr().err
    assert said.count("0-a is garbled, what it counted is left out") == 1
    assert said.count("retired is garbled") == 1
    place.tell(told)
    assert place.read()[0] == [told]
    assert capsys.readouterr().err == ""
    (tmp_path / "workers" / "0-a").write_bytes(b"")
    assert place.find("0-a") is None
    assert "0-a is garbled" in capsys.readouterr().err
