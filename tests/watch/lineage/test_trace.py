from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.core.errors import NotFoundError
from onward.watch.lineage.graph import Edge
from onward.watch.lineage.trace import downstream, trace


def refs(nodes) -> set[str]:
    return {node.ref for node in nodes}


def test_upstream_reaches_code_data_and_parameters(ledger, delivered):
    graph = trace("trained:f1", ledger=ledger)
    assert graph.root == graph.nodes[0].ref == "trained:f1"
    assert refs(graph.of_kind("commit")) == {"commit:c1"}
    assert refs(graph.of_kind("snapshot")) == {
        "snapshot:derived.departures@1", "snapshot:raw.flights@1", "snapshot:raw.weather@1",
    }  # fmt: skip
    fitted, commit = graph.node("trained:f1"), graph.node("commit:c1")
    assert (fitted.made_by, fitted.run, fitted.facts["parameters"]) == (
        "model.trained", "r1", {"l2": 1},
    )  # fmt: skip
    assert (commit.made_by, commit.at, commit.run) == (None, None, None)
    assert graph.node("model:flight_delay@1") is None
    assert Edge("training:t1", "trained:f1", "model.trained") in graph.edges
    assert len(set(graph.edges)) == len(graph.edges)


def test_what_was_made_again_counts_as_it_was_then(ledger, delivered):
    before = trace("training:t1", ledger=ledger)
    after = trace("training:t2", ledger=ledger)
    assert "snapshot:raw.flights@2" not in refs(before.nodes)
    edge = Edge("snapshot:raw.flights@2", "features:delays@1", "features.published")
    assert edge in after.edges
    assert before.node("features:delays@1").run == "r1"
    assert after.node("features:delays@1").run == "r2"


def test_depth_counts_events(ledger, delivered):
    assert refs(trace("trained:f1", ledger=ledger, depth=0).nodes) == {"trained:f1"}
    one = trace("trained:f1", ledger=ledger, depth=1)
    assert refs(one.nodes) == {
        "trained:f1", "training:t1", "candidate:flight_delay@defaults", "commit:c1",
    }  # fmt: skip
    assert len(one.edges) == 3


def test_downstream_reaches_what_was_made_from_it(ledger, delivered):
    graph = downstream("snapshot:raw.weather@2", ledger=ledger)
    assert refs(graph.of_kind("release")) == {f"release:flight_delay@2.{n}" for n in (1, 2, 3)}
    assert refs(graph.of_kind("model")) == {"model:flight_delay@2"}
    assert graph.nodes[0].made_by == "batch.audited"
    assert refs(downstream("snapshot:raw.weather@2", ledger=ledger, depth=1).nodes) == {
        "snapshot:raw.weather@2", "batch:derived.departures@r2",
    }  # fmt: skip


def test_downstream_of_what_was_made_again_starts_after_its_making(ledger, delivered):
    graph = downstream("snapshot:raw.flights@2", ledger=ledger)
    assert "training:t1" not in refs(graph.nodes)
    assert "training:t2" in refs(graph.nodes)


@pytest.mark.parametrize("walk", [trace, downstream])
def test_an_unknown_ref_is_answered_with_the_nearest(ledger, delivered, walk):
    with pytest.raises(NotFoundError) as told:
        walk("model:flight_dely@2", ledger=ledger)
    assert "the ledger knows no model:flight_dely@2" in str(told.value)
    assert "did you mean 'model:flight_delay@2'?" in str(told.value)
    with pytest.raises(NotFoundError, match="no kind of ref 'modl'"):
        walk("modl:flight_delay@2", ledger=ledger)


def test_where_nothing_was_made_yet_it_is_said_what_makes_it(ledger):
    with pytest.raises(NotFoundError) as told:
        trace("model:x@3", ledger=ledger)
    assert str(told.value).splitlines() == [
        "the ledger knows no model:x@3",
        "  expected: a model, of which there is none yet",
        "  next: `onward run` makes what can be traced",
    ]


def test_an_event_that_names_what_it_reads_among_what_it_makes_is_no_loop(ledger, tell):
    tell("features.published", ["features:a@1"], ["features:a@1"])
    tell("features.published", ["features:a@1"], ["features:a@1"])
    for walk in (trace, downstream):
        graph = walk("features:a@1", ledger=ledger)
        assert refs(graph.nodes) == {"features:a@1"}
        assert graph.edges == (Edge("features:a@1", "features:a@1", "features.published"),)


NAMES = st.integers(0, 6).map("run:{}".format)
EVENTS = st.lists(st.tuples(st.lists(NAMES, max_size=3), st.lists(NAMES, max_size=3)), max_size=12)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=EVENTS)
def test_a_trace_ends_and_its_edges_are_events(ledger, tell, events):
    for inputs, outputs in events:
        tell("run.started", inputs, outputs)
    told = [recorded.event for recorded in ledger.events()]
    pairs = {(i, o) for event in told for i in event.inputs for o in event.outputs}
    for name in {ref for event in told for ref in (*event.inputs, *event.outputs)}:
        for graph in (trace(name, ledger=ledger), downstream(name, ledger=ledger)):
            found = [node.ref for node in graph.nodes]
            assert len(found) == len(set(found))
            assert {(edge.source, edge.target) for edge in graph.edges} <= pairs
            assert {end for edge in graph.edges for end in (edge.source, edge.target)} <= set(found)
