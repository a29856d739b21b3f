from __future__ import annotations

import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from production_window import NOW, START

from onward.core.records import MonitorReport, MonitorResult
from onward.stages.monitor.adapters.log import LogAlert
from onward.stages.monitor.adapters.webhook import WebhookAlert

REPORT = MonitorReport(
    id="w1", model="flight_delay", at=NOW, window_start=START, window_end=NOW, predictions=900,
    labelled=800,
    results=(
        MonitorResult(monitor="performance", subject="roc_auc", value=0.6, limit=0.67,
                      breached=True, detail="0.600 (95 %: 0.580 to 0.620) on 800 labels"),
        MonitorResult(monitor="freshness", subject="flights", value=1.0, limit=2.0,
                      breached=False),
    ),
)  # fmt: skip
TEXT = (
    "flight_delay, 2013-06-01 00:00 to 2013-06-08 00:00 UTC: "
    "performance, roc_auc: 0.600 (95 %: 0.580 to 0.620) on 800 labels"
)


@pytest.fixture
def receiver():
    """A real server that answers with the statuses it is given, then 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.heard.append((dict(self.headers), json.loads(body)))
            status = self.server.statuses.pop(0) if self.server.statuses else 200
            if status is None:
                self.server.hold.wait(30)
                status = 200
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.heard, server.statuses, server.hold = [], [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/alerts"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_log_gets_a_line(caplog):
    with caplog.at_level(logging.WARNING, "onward.monitor"):
        assert LogAlert().send(REPORT) is None
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("onward.monitor", "WARNING", TEXT)
    ]


def test_the_webhook_gets_the_breaches(receiver):
    assert WebhookAlert(receiver.url).send(REPORT) is None
    [(headers, body)] = receiver.heard
    assert headers["Idempotency-Key"] == "report:w1.monitor.flight_delay"
    assert headers["Content-Type"] == "application/json"
    assert body == {
        "text": TEXT,
        "report": "report:w1.monitor.flight_delay",
        "model": "flight_delay",
        "at": "2013-06-08T00:00:00+00:00",
        "window": ["2013-06-01T00:00:00+00:00", "2013-06-08T00:00:00+00:00"],
        "predictions": 900,
        "labelled": 800,
        "breaches": [
            {"monitor": "performance", "subject": "roc_auc", "value": 0.6, "limit": 0.67,
             "detail": "0.600 (95 %: 0.580 to 0.620) on 800 labels"},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("statuses", "heard", "failure"),
    [
        ([500], 2, None),
        ([503, 429], 3, None),
        ([500, 502, 503], 3, "it answered 503 Service Unavailable"),
        ([404], 1, "it answered 404 Not Found"),
    ],
)
def test_what_passes_is_tried_again(receiver, statuses, heard, failure):
    receiver.statuses[:] = statuses
    told = WebhookAlert(receiver.url, pauses_s=(0.0, 0.0)).send(REPORT)
    assert len(receiver.heard) == heard
    assert len({headers["Idempotency-Key"] for headers, _ in receiver.heard}) == 1
    expected = failure and f"the alert did not reach {receiver.url}: {failure}"
    assert told == expected


def test_a_receiver_that_does_not_answer_breaks_nothing(receiver):
    receiver.statuses[:] = [None]
    told = WebhookAlert(receiver.url, timeout_s=0.2, pauses_s=()).send(REPORT)
    assert told == f"the alert did not reach {receiver.url}: timed out"


def test_nobody_listening_breaks_nothing():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        told = WebhookAlert(url, pauses_s=(0.0,)).send(REPORT)
    assert told == f"the alert did not reach {url}: [Errno 111] Connection refused"


@pytest.mark.parametrize("url", ["no address", "http://[::1", "ftp://example.invalid/x"])
def test_an_address_that_is_none_breaks_nothing(url):
    assert f"the alert did not reach {url}: " in WebhookAlert(url, pauses_s=()).send(REPORT)
