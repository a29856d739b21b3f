"""The gateway as a process: started, told to stop, killed, out of disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import msgspec
import pytest
import trained_models as small
from gateway_load import MODEL, Load
from gateway_site import routes_of, serving

from onward.core.errors import BusyError, CorruptError, DeclarationError, OnwardError
from onward.stages.serve.gateway.process.local import LocalServers, read_address, start_gateway
from onward.stages.serve.gateway.settings import Factory, GatewayConfig
from onward.stages.serve.log.reader import read


def test_sigterm_answers_what_is_under_way_and_flushes_the_log(tmp_path, image):
    with serving(tmp_path, routes_of((image("plain"), 100.0))) as site:
        assert read_address(tmp_path / "state").pid == site.server.pid
        with Load(site) as load:
            load.until(more=40)
            site.server.stop()
        assert not site.server.alive()
        assert {status for status, _ in load.answers} == {200}
        assert read_address(tmp_path / "state") is None
    logged = {p.id for p in read(tmp_path / "predictions")[0]}
    assert {entry["id"] for _, entry in load.answers} <= logged


def test_a_taken_port_is_named(tmp_path, image):
    with serving(tmp_path / "a", routes_of((image("plain"), 100.0))) as site:
        port = int(site.server.url.rpartition(":")[2])
        (tmp_path / "b").mkdir()
        with pytest.raises(BusyError, match=f"port {port} on 127.0.0.1 is taken") as caught:
            serving(tmp_path / "b", port=port).__enter__()
    assert caught.value.exit_code == 5
    assert "gateway.port" in str(caught.value)


def test_a_gateway_ends_with_its_parent(tmp_path, image):
    """The parent is killed outright; the orphan sees it, drains and goes."""
    config = serving(tmp_path, routes_of((image("plain"), 100.0))).config
    file = tmp_path / "config.json"
    code = f"""
import msgspec, os, time
from onward.stages.serve.gateway.process.local import start_gateway
from onward.stages.serve.gateway.settings import GatewayConfig
config = msgspec.json.decode(open({str(file)!r}, 'rb').read(), type=GatewayConfig)
config = msgspec.structs.replace(config, parent=os.getpid())
print(start_gateway(config).pid, flush=True)
time.sleep(600)
"""
    file.write_bytes(msgspec.json.encode(config))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        gateway = os.pidfd_open(pid)
        os.kill(parent.pid, signal.SIGKILL)
    import select

    ended, _, _ = select.select([gateway], [], [], 20)
    os.close(gateway)
    assert ended
    assert "is gone" in (tmp_path / "state" / "gateway.log").read_text()


def test_without_a_log_nothing_is_written(tmp_path, image):
    with serving(tmp_path, routes_of((image("plain"), 100.0)), predictions=None) as site:
        [entry] = site.predict(small.rows(1)).json()["predictions"]
    assert entry["logged"] is False
    assert "id" not in entry
    assert not (tmp_path / "predictions").exists()


def test_staging_serves_one_image_with_its_golden_features(tmp_path, image):
    plain = image("plain")
    server = LocalServers().start_staging(plain, tmp_path)
    try:
        assert server.alive()
        golden = msgspec.json.decode((Path(plain.model.path) / "golden.json").read_bytes())
        last = golden["rows"][-1]
        answer = httpx.post(f"{server.url}{MODEL}/predict", json={"rows": [last]})
        [entry] = answer.json()["predictions"]
        assert entry["output"] == pytest.approx(golden["predictions"][-1], rel=1e-9)
    finally:
        server.stop()
    assert not server.alive()


def test_an_unpacked_image_is_served_as_its_container_would(tmp_path, image):
    from onward.stages.serve.gateway.models.image import unpack

    root = unpack(image("plain"), tmp_path / "container")
    given = msgspec.json.decode((root / "etc/onward/gateway.json").read_bytes())
    config = msgspec.convert(
        given
        | {
            "host": "127.0.0.1", "port": 0, "state": str(tmp_path / "state"),
            "predictions": str(tmp_path / "predictions"), "model": str(root / "opt/onward"),
            "parent": os.getpid(),
        },
        GatewayConfig,
    )  # fmt: skip
    server = start_gateway(config)
    try:
        answer = httpx.post(f"{server.url}{MODEL}/predict", json={"rows": small.rows(2)})
        assert answer.status_code == 200
    finally:
        server.stop()


def test_what_cannot_start_says_why(tmp_path, image):
    from dataclasses import replace

    broken = replace(image("plain"), digest="sha256:" + "0" * 64)
    with pytest.raises(CorruptError, match="does not hold image"):
        LocalServers().start_staging(broken, tmp_path / "a")
    factory = Factory(entry="onward.core.clock:no_such")
    with pytest.raises(DeclarationError, match="cannot be imported"):
        start_gateway(GatewayConfig(state=str(tmp_path / "b"), routes="r", online=factory))
    failing = Factory(entry="onward.core.refs:parse_ref", arguments={"text": 7})
    with pytest.raises(OnwardError, match="Traceback"):
        start_gateway(GatewayConfig(state=str(tmp_path / "c"), routes="r", online=failing))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"state": "s"}',
        '{"state": "s", "routes": "r", "model": "m"}',
        '{"state": "s", "routes": "r", "golden_views": true}',
        '{"state": "s", "routes": "r", "typo": 1}',
    ],
)
def test_a_configuration_that_means_nothing_is_refused(tmp_path, text):
    from onward.stages.serve.gateway.__main__ import main

    (tmp_path / "c.json").write_text(text)
    assert main(["--config", str(tmp_path / "c.json")]) == 2


def test_a_start_that_takes_too_long_is_given_up(tmp_path, image):
    config = serving(tmp_path, routes_of((image("plain"), 100.0))).config
    with pytest.raises(OnwardError, match=r"not ready within 0\.01 s"):
        start_gateway(config, timeout_s=0.01)


def test_threads_can_start_and_stop_gateways(tmp_path, image):
    """A gateway started by a thread that ends lives on: it belongs to the process."""
    made = []
    thread = threading.Thread(
        target=lambda: (
            made.append(serving(tmp_path, routes_of((image("plain"), 100.0))))
            or made[0].__enter__()
        )
    )
    thread.start()
    thread.join()
    try:
        assert made[0].server.alive()
        assert made[0].client.get("/v2/health/ready").status_code == 200
    finally:
        made[0].__exit__()
