"""Traces: a request's spans arrive at a collector, in the trace that the caller began."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trained_models as small
from gateway_site import routes_of, serving

from onward.stages.serve.gateway.protocol.trace_context import parsed, trace_of
from onward.stages.serve.gateway.settings import Factory, TelemetryConfig
from services.collector import running_collector

MODEL = "/v2/models/returns"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def exporter(url: str) -> Factory:
    return Factory(
        entry="onward.infra.telemetry.otlp:open_exporter",
        arguments={"endpoint": url, "service": "shop", "timeout_s": 0.5},
    )


def test_a_callers_trace_goes_on_in_the_gateway(tmp_path, image):
    with running_collector() as collector:
        telemetry = TelemetryConfig(exporter=exporter(collector.url), trace_ratio=0.0)
        routes = routes_of((image("plain"), 100.0))
        with serving(tmp_path, routes, telemetry=telemetry) as site:
            for flags in ("00", "01"):
                headers = {
                    "traceparent": f"00-{TRACE}-{PARENT}-{flags}", "tracestate": "vendor=1",
                }  # fmt: skip
                answer = site.client.post(
                    f"{MODEL}/predict", json={"rows": small.rows(3)}, headers=headers
                )
                assert answer.status_code == 200
            site.predict(small.rows(1))  # nobody decided, and the share is none
        spans = collector.until(lambda spans: len(spans) >= 5)
    assert {s.trace_id.hex() for s in spans} == {TRACE}
    by_name = {s.name: s for s in spans}
    assert sorted(by_name) == ["log", "lookup", "predict", "queue"]
    [server] = [s for s in spans if s.kind == 2]
    assert server.parent_span_id.hex() == PARENT
    assert server.trace_state == "vendor=1"
    attributes = {a.key: a.value for a in server.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["onward.model"].string_value == "returns"
    assert attributes["onward.rows"].int_value == 3
    steps = [s for s in spans if s.kind == 1]
    assert [s.name for s in steps] == ["queue", "lookup", "predict", "log"]
    assert {s.parent_span_id for s in steps} == {server.span_id}
    assert steps[0].start_time_unix_nano == server.start_time_unix_nano
    for step, following in pairwise(steps):
        assert step.start_time_unix_nano <= step.end_time_unix_nano
        assert step.end_time_unix_nano == following.start_time_unix_nano
    assert steps[-1].end_time_unix_nano <= server.end_time_unix_nano
    assert collector.resources[0]["service.name"] == "shop"


def test_requests_are_served_though_the_collector_is_away(tmp_path, image):
    with running_collector() as collector:
        collector.status = 400
        telemetry = TelemetryConfig(exporter=exporter(collector.url), trace_ratio=1.0)
        routes = routes_of((image("plain"), 100.0))
        with serving(tmp_path, routes, telemetry=telemetry) as site:
            assert site.predict(small.rows(1)).status_code == 200
            collector.until(lambda spans: len(spans) >= 5)
            line = 'onward_telemetry_dropped_total{kind="traces"} 1'
            site.until(lambda: line in site.client.get("/metrics").text)
            assert site.predict([small.rows(1)[0] | {"amount": -1.0}]).status_code == 400
        assert len({s.trace_id for s in collector.spans}) == 2


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (f"00-{TRACE}-{PARENT}-01", (int(TRACE, 16), int(PARENT, 16), True)),
        (f" 00-{TRACE}-{PARENT}-00 ", (int(TRACE, 16), int(PARENT, 16), False)),
        (f"00-{TRACE}-{PARENT}-03", (int(TRACE, 16), int(PARENT, 16), True)),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-brings", (int(TRACE, 16), int(PARENT, 16), True)),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{PARENT}", None),
        ("", None),
    ],
)
def test_traceparent_is_read_as_the_standard_says(told, found):
    assert parsed(told.encode()) == found


def test_who_says_nothing_is_recorded_by_chance():
    assert trace_of({}, 0.0) is None
    made = [trace_of({}, 1.0) for _ in range(50)]
    assert len({trace.id for trace in made if trace}) == 50
    assert all(trace and trace.parent == 0 for trace in made)
    share = sum(trace_of({}, 0.2) is not None for _ in range(2_000))
    assert 300 < share < 500
    assert trace_of({b"traceparent": b"nonsense"}, 0.0) is None
