"""A real Prometheus scrapes the gateway: the questions that operators ask have answers."""

from __future__ import annotations

import json
import subprocess
import threading
from urllib.parse import urlsplit

import httpx
import pytest
import trained_models as small
from gateway_site import routes_of, serving

from services.prometheus_server import running_prometheus

MODEL = "/v2/models/returns"


@pytest.fixture(scope="module")
def watched(tmp_path_factory, image):
    """Two workers, two arms, a Prometheus, and callers that go on."""
    folder = tmp_path_factory.mktemp("watched")
    routes = routes_of((image("plain"), 60.0), (image("brittle"), 40.0))
    stop = threading.Event()

    def call(url: str) -> None:
        rows = small.rows(50, seed=4)
        for at, row in enumerate(rows):
            row["amount"] = 9_999.0 if at % 5 == 0 else row["amount"]
        while not stop.is_set():
            for row in rows:
                httpx.post(f"{url}{MODEL}/predict", json={"rows": [row]}, timeout=30)
            httpx.post(f"{url}{MODEL}/predict", content=b"{", timeout=30)

    with serving(folder, routes, workers=2) as site:
        target = urlsplit(site.server.url).netloc
        thread = threading.Thread(target=call, args=(site.server.url,))
        thread.start()
        try:
            with running_prometheus(folder, target) as prometheus:
                yield site, prometheus
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("sum(rate(onward_requests_total[30s])) > 0", [{}]),
        (
            'sum by (status) (rate(onward_requests_total{route="predict"}[30s])) > 0',
            [{"status": "200"}, {"status": "400"}, {"status": "500"}],
        ),
        (
            ("histogram_quantile(0.99, sum by (le, route) "
            '(rate(onward_request_latency_seconds_bucket{route="predict"}[30s]))) > 0'),
            [{"route": "predict"}],
        ),
        (
            'sum by (model, version, arm) (rate(onward_predictions_total{status="200"}[30s])) > 0',
            [
                {"arm": "candidate", "model": "returns", "version": "2"},
                {"arm": "champion", "model": "returns", "version": "1"},
            ],
        ),
        (
            'sum by (arm) (rate(onward_predictions_total{status=~"5.."}[30s])) > 0',
            [{"arm": "candidate"}],
        ),
        (
            ("rate(onward_prediction_latency_seconds_sum[30s])"
            " / rate(onward_prediction_latency_seconds_count[30s]) > 0"),
            [
                {"arm": "candidate", "model": "returns", "version": "2"},
                {"arm": "champion", "model": "returns", "version": "1"},
            ],
        ),
        ("rate(onward_prediction_log_bytes_total[30s]) > 0", [{}]),
        ("onward_requests_waiting >= 0", [{"__name__": "onward_requests_waiting"}]),
        ("onward_workers == 2", [{"__name__": "onward_workers", "state": "ready"}]),
        ("sum(increase(onward_prediction_log_failures_total[30s])) == 0", [{}]),
    ],
)  # fmt: skip
def test_operators_questions_have_answers(watched, expression, labels):
    site, prometheus = watched
    wanted = sorted(json.dumps(each, sort_keys=True) for each in labels)

    def found() -> list[str]:
        shown = map(json.loads, prometheus.query(expression))
        return sorted(json.dumps(each, sort_keys=True) for each in shown)

    site.until(lambda: found() == wanted, 60)


def test_no_counter_was_reset_though_workers_answer_in_turn(watched):
    _, prometheus = watched
    prometheus.until("count_over_time(onward_connections[30s]) > 20")
    assert set(prometheus.query("resets(onward_predictions_total[1m]) > 0")) == set()
    assert set(prometheus.query("resets(onward_requests_total[1m]) > 0")) == set()


def test_promtool_finds_nothing_to_say(watched):
    site, _ = watched
    text = site.client.get("/metrics").content
    told = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (told.returncode, told.stdout + told.stderr) == (0, b"")
