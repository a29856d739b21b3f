from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openlineage_schema import facets, require_valid

from onward.core.errors import CorruptError, OnwardError
from onward.watch.audit.adapters.sql import SqlLedger
from onward.watch.lineage.adapters.openlineage import LineageBackend, LineageFile, as_json
from onward.watch.lineage.adapters.openlineage_runs import Naming
from onward.watch.lineage.outbox import catch_up

NAMING = Naming(
    namespace="flights", pipeline="flight_delay", repository="https://example.com/flights.git"
)

PROFILE = {
    "rows": 10,
    "columns": {
        "distance": {"type": "number", "nulls": 1, "distinct": 9, "min": 94.0, "max": 4983.0},
        "scheduled_at": {"type": "time", "nulls": 0, "distinct": 8, "min": "2013-01-01T00:00:00"},
    },
}
SLOW = {"gate": "latency", "passed": False, "reason": "too slow"}
RULES = [
    {"rule": "distance is positive", "passed": False, "offenders": 2, "detail": "2 of 10 rows"},
    {"rule": "late", "passed": False, "offenders": 1, "detail": "", "severity": "warn"},
]


def events_of(ledger: SqlLedger) -> list[dict[str, Any]]:
    return [json.loads(line) for line in as_json(ledger.events(), NAMING)]


def facet(event: dict[str, Any], name: str) -> dict[str, Any]:
    holders = (event["run"], event["job"], *event["inputs"], *event["outputs"])
    kinds = ("facets", "inputFacets", "outputFacets")
    [found] = [h[k][name] for h in holders for k in kinds if name in h.get(k, {})]
    return found


def test_every_event_and_every_facet_is_as_the_standard_says(ledger, tell, delivered):
    tell("run.started", [], [], "r3", commit="c3")
    tell("batch.audited", ["batch:raw.flights@r3"], ["snapshot:raw.flights@3"], "r3",
         report={"rows_published": 8, "rules": RULES, "profile": PROFILE})  # fmt: skip
    tell("image.refused", ["image:flight_delay@sha256:9"], [], "r3",
         deployment={"checks": [SLOW]})  # fmt: skip
    tell("run.finished", [], [], "r3", state="failed", reason="the disk is full")
    events = events_of(ledger)
    for event in events:
        require_valid(event)
    written = {f["_schemaURL"].rpartition("/")[2] for event in events for f in facets(event)}
    spec = Path(__file__).parent / "openlineage_spec"
    assert written == {path.stem for path in spec.glob("*Facet.json")}


def test_every_run_has_one_start_and_one_end(ledger, tell, delivered):
    tell("run.started", [], [], "r3")
    tell("run.finished", [], [], "r3", state="promoted")
    told: dict[str, list[str]] = {}
    for event in events_of(ledger):
        told.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert set(map(tuple, told.values())) == {("START", "COMPLETE")}


def test_what_comes_out_of_one_job_goes_into_the_next(ledger, delivered):
    events = [e for e in events_of(ledger) if e["eventType"] == "COMPLETE"]
    made = {(d["name"], version(d)) for e in events for d in e["outputs"]}
    read = {(d["name"], version(d)) for e in events for d in e["inputs"]}
    assert {("raw.flights", "1"), ("derived.departures", "2"), ("features.delays", "1")} <= made
    assert read - made == {("candidate.flight_delay", "defaults")}


def version(dataset: dict[str, Any]) -> str:
    return dataset["facets"]["version"]["datasetVersion"]


def test_an_audit_is_told_with_the_rows_it_saw_and_the_rules_they_broke(ledger, tell):
    tell("batch.audited", ["batch:raw.flights@r1"], ["snapshot:raw.flights@3"],
         report={"rows_published": 8, "rules": RULES, "profile": PROFILE})  # fmt: skip
    start, end = events_of(ledger)
    assert end["job"]["name"] == "validate.flight_delay"
    assert start["outputs"] == []
    assert facet(end, "outputStatistics")["rowCount"] == 8
    assert [f["name"] for f in facet(end, "schema")["fields"]] == ["distance", "scheduled_at"]
    assertions = facet(end, "dataQualityAssertions")["assertions"]
    assert [(a["success"], a["severity"], a["actual"]) for a in assertions] == [
        (False, "error", "2"),
        (False, "warn", "1"),
    ]
    metrics = facet(end, "dataQualityMetrics")["columnMetrics"]
    assert metrics["distance"]["count"] == 9
    assert metrics["scheduled_at"].get("min") is None


def test_a_failure_says_why_and_a_training_took_its_time(ledger, tell):
    tell("model.trained", ["training:t1", "commit:c1"], ["trained:f1"], commit="c1", seconds=90,
         parameters={"l2": 1})  # fmt: skip
    tell("image.refused", ["image:flight_delay@sha256:9"], [],
         deployment={"checks": [SLOW, {"gate": "golden", "passed": True, "reason": "equal"}]},
    )  # fmt: skip
    start, end, _, refused = events_of(ledger)
    assert (start["eventTime"], end["eventTime"]) == (
        "2013-01-01T00:58:30+00:00",
        "2013-01-01T01:00:00+00:00",
    )
    assert facet(end, "sourceCodeLocation")["version"] == "c1"
    assert facet(end, "executionParameters")["parameters"] == [{"key": "l2", "value": "1"}]
    assert refused["eventType"] == "FAIL"
    assert facet(refused, "errorMessage")["message"] == "too slow"
    assert [t["status"] for t in facet(refused, "test")["tests"]] == ["fail", "pass"]


def test_what_is_no_work_on_data_is_not_told(ledger, tell):
    tell("retrain.suppressed", [], [])
    assert events_of(ledger) == []


class Backend(BaseHTTPRequestHandler):
    taken: list[tuple[str | None, dict[str, Any]]]
    refuse_from: int | None

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        cls = type(self)
        refused = cls.refuse_from is not None and len(cls.taken) >= cls.refuse_from
        if not refused:
            cls.taken.append((self.headers["authorization"], body))
        self.send_response(400 if refused else 201)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def backend() -> Iterator[tuple[str, type[Backend]]]:
    handler = type("Fresh", (Backend,), {"taken": [], "refuse_from": None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_backend_hears_everything_once_although_it_refused_for_a_while(
    ledger, delivered, backend, tmp_path: Path
):
    url, handler = backend
    outlet = LineageBackend(url, NAMING, api_key="k-123")
    mark = tmp_path / "state" / "mark"
    handler.refuse_from = 6
    with pytest.raises(OnwardError, match="did not take"):
        catch_up(ledger, outlet, mark)
    handler.refuse_from = None
    events = ledger.events()
    assert catch_up(ledger, outlet, mark) == len(events)
    assert catch_up(ledger, outlet, mark) == 0
    # What came before the refusal came again, as the same runs.
    runs = [(body["run"]["runId"], body["eventType"]) for _, body in handler.taken]
    assert len(set(runs)) == 2 * len(events)
    assert {token for token, _ in handler.taken} == {"Bearer k-123"}
    assert "k-123" not in repr(outlet)


def test_a_backend_that_is_not_there_is_named(ledger, delivered, tmp_path: Path):
    outlet = LineageBackend("http://127.0.0.1:9/api/v1/lineage", NAMING)
    with pytest.raises(OnwardError, match=r"127\.0\.0\.1:9"):
        catch_up(ledger, outlet, tmp_path / "mark")
    assert not (tmp_path / "mark").exists()


def test_a_file_is_appended_to(ledger, tell, tmp_path: Path):
    outlet, mark = LineageFile(tmp_path / "out" / "lineage.ndjson", NAMING), tmp_path / "mark"
    for n in (1, 2):
        tell("batch.ingested", [], [f"batch:raw.flights@r{n}"])
        assert catch_up(ledger, outlet, mark) == 1
    lines = outlet.path.read_text().splitlines()
    assert [json.loads(line)["eventType"] for line in lines] == ["START", "COMPLETE"] * 2


def test_a_file_that_cannot_be_written_is_named(ledger, tell, tmp_path: Path):
    tell("batch.ingested", [], ["batch:raw.flights@r1"])
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(OnwardError, match="lineage cannot be written"):
        catch_up(ledger, LineageFile(tmp_path / "taken" / "x", NAMING), tmp_path / "mark")


def test_a_mark_that_says_nothing_is_refused(ledger, tmp_path: Path):
    (tmp_path / "mark").write_text("many\n")
    with pytest.raises(CorruptError, match="many"):
        catch_up(ledger, LineageFile(tmp_path / "out", NAMING), tmp_path / "mark")
