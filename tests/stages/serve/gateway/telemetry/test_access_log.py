"""The access log: a line for each request, none of them felt, nothing of what they held."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trained_models as small
from gateway_site import Site, routes_of, serving

from onward.stages.serve.gateway.settings import TelemetryConfig
from onward.stages.serve.gateway.telemetry.access_log import AccessLog, Seen
from onward.stages.serve.gateway.telemetry.ring import Ring

MODEL = "/v2/models/returns"


@pytest.fixture(scope="module")
def noted(tmp_path_factory, image):
    """A gateway of two workers with an access log."""
    folder = tmp_path_factory.mktemp("noted")
    telemetry = TelemetryConfig(access_log=str(folder / "logs" / "access.jsonl"))
    routes = routes_of((image("plain"), 50.0), (image("better"), 50.0))
    with serving(folder, routes, telemetry=telemetry, workers=2) as opened:
        yield opened


def lines(site: Site) -> dict[str, dict[str, Any]]:
    text = (site.folder / "logs" / "access.jsonl").read_text()
    return {entry["id"]: entry for entry in map(json.loads, text.splitlines())}


def test_every_request_has_a_line_that_says_what_came_of_it(noted):
    before = datetime.now(UTC)
    rows = small.rows(20, seed=8)
    good = noted.predict(rows)
    bad = noted.client.post(f"{MODEL}/predict", content=b"{", headers={"x-request-id": "mine"})
    nothing = noted.client.get("/no/such/path")
    noted.client.get("/v2/health/live")
    ids = [answer.headers["x-request-id"] for answer in (good, bad, nothing)]
    assert ids[1] == "mine"
    noted.until(lambda: set(ids) <= lines(noted).keys())
    first, second, third = (lines(noted)[each] for each in ids)
    assert first.pop("ms") > 0
    assert abs(datetime.fromisoformat(first.pop("at")) - before).total_seconds() < 60
    assert first == {
        "id": ids[0], "route": "predict", "status": 200, "model": "returns", "versions": [1, 2],
        "rows": 20, "bytes_in": len(good.request.content), "bytes_out": len(good.content),
    }  # fmt: skip
    assert (second["status"], second["bytes_in"]) == (400, 1)
    assert (third["status"], third["route"]) == (404, "unknown")
    assert "health" not in {entry["route"] for entry in lines(noted).values()}
    text = (noted.folder / "logs" / "access.jsonl").read_text()
    assert rows[0]["order_id"] not in text


def test_ids_that_are_no_ids_are_replaced(noted):
    for odd in ("x" * 200, "é", '"', "a b"):
        headers = {"x-request-id": odd.encode()}
        answer = noted.client.get("/v2", headers=headers)
        assert answer.headers["x-request-id"] not in odd


def test_a_log_that_is_moved_away_is_begun_anew(tmp_path):
    def entry(name: str) -> Seen:
        return (name, 'a "quoted" caller', "infer", (), 200, 0, 1_500_000, 3, 4, None)

    path = tmp_path / "access.jsonl"
    log, other = AccessLog(path, epoch_ns=5), AccessLog(path, epoch_ns=5)
    log.write([log.line(entry("a")), log.line(entry("b"))])
    other.write([other.line(entry("c"))])
    path.rename(tmp_path / "access.1")
    log.write([log.line(entry("d"))])
    other.write([other.line(entry("e"))])
    log.close()
    other.close()

    def ids(file: Path) -> list[str]:
        return [json.loads(line)["id"] for line in file.read_text().splitlines()]

    assert ids(tmp_path / "access.1") == ["a", "b", "c"]
    assert ids(path) == ["d", "e"]
    assert json.loads(path.read_text().splitlines()[0]) == {
        "at": "1970-01-01T00:00:00.000000Z", "id": "d", "route": "infer", "status": 200, "ms": 1.5,
        "bytes_in": 3, "bytes_out": 4, "caller": 'a "quoted" caller',
    }  # fmt: skip


def test_a_sample_has_all_failures(tmp_path, image):
    telemetry = TelemetryConfig(access_log=str(tmp_path / "access.jsonl"), access_ratio=0.0)
    with serving(tmp_path, routes_of((image("brittle"), 100.0)), telemetry=telemetry) as site:
        assert site.predict(small.rows(1)).status_code == 200
        row = small.rows(1)[0] | {"amount": 9_999.0}
        assert site.predict([row]).status_code == 500
    entries = map(json.loads, (tmp_path / "access.jsonl").read_text().splitlines())
    assert [entry["status"] for entry in entries] == [500]


def test_a_ring_that_is_full_lets_go_and_counts(capsys):
    taken: list[int] = []

    def work(group: list[int]) -> None:
        if 3 in group:
            raise OSError("no space left")
        taken.extend(group)

    ring: Ring[int] = Ring(work, name="test", size=2, every_s=3600)
    for number in range(3):
        ring.append(number)
    assert ring.dropped == 1
    ring.close()
    assert taken == [0, 1]
    ring = Ring(work, name="test", size=2, every_s=3600)
    ring.append(3)
    ring.close()
    assert ring.dropped == 1
    assert "1 are lost: OSError('no space left')" in capsys.readouterr().err
