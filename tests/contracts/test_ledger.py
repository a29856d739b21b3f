"""What every ledger holds to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.core.errors import DataError
from onward.core.events import Event
from onward.core.ports import Ledger
from onward.infra.database import open_database
from onward.watch.audit.adapters.sql import SqlLedger

AT = datetime(2013, 4, 1, 6, 30, tzinfo=UTC)


def event(number: int, kind: str = "batch.audited", **changes) -> Event:
    told = {
        "kind": kind,
        "key": str(number),
        "subject": "flights",
        "at": AT + timedelta(minutes=number),
        "run": f"r{number % 2}",
        "inputs": (f"batch:raw.flights@{number}",),
        "outputs": (f"snapshot:raw.flights@{number}",),
        "facts": {"rows_in": number, "rules": ["a", "b"], "held": None},
    }
    return Event(**{**told, **changes})


@pytest.fixture(params=["sql"])
def ledger(request, tmp_path: Path):
    engine = open_database(tmp_path / "onward.db")
    yield SqlLedger(engine)
    engine.dispose()


def test_an_event_comes_back_as_it_was_told(ledger: Ledger):
    told = ledger.append(event(1))
    assert told.seq == 1
    assert told.event == event(1)
    assert list(ledger.events()) == [told]


def test_the_same_kind_and_key_is_one_event(ledger: Ledger):
    first = ledger.append(event(1))
    assert ledger.append(event(1, subject="weather", facts={"rows_in": 7})) == first
    assert ledger.append(event(1, kind="batch.ingested")).seq == 2
    assert len(ledger.events()) == 2


def test_events_are_found_by_kind_subject_run_and_place(ledger: Ledger):
    for number in range(6):
        kind = "batch.audited" if number % 2 else "batch.ingested"
        ledger.append(event(number, kind, subject="flights" if number < 4 else "weather"))

    def numbers(**wanted):
        return [int(told.event.key) for told in ledger.events(**wanted)]

    assert numbers() == [0, 1, 2, 3, 4, 5]
    assert numbers(kind="batch.audited") == [1, 3, 5]
    assert numbers(kind="batch.audited", subject="flights") == [1, 3]
    assert numbers(subject="weather") == [4, 5]
    assert numbers(run="r0") == [0, 2, 4]
    assert numbers(after=4) == [4, 5]
    assert numbers(newest_first=True, limit=2) == [5, 4]
    assert numbers(kind="run.started") == []


def test_edges_lead_from_a_ref_to_its_events(ledger: Ledger):
    made = ledger.append(event(1, outputs=("snapshot:a@1", "report:r")))
    used = ledger.append(event(2, inputs=("snapshot:a@1", "snapshot:a@1"), outputs=()))
    assert list(ledger.producing("snapshot:a@1")) == [made]
    assert list(ledger.consuming("snapshot:a@1")) == [used]
    assert list(ledger.producing("snapshot:b@1")) == []


def test_what_was_made_again_is_told_in_order_and_up_to_a_place(ledger: Ledger):
    made = [ledger.append(event(n, outputs=("features:a@1",), run="r")) for n in range(4)]
    assert list(ledger.producing("features:a@1")) == made
    assert list(ledger.producing("features:a@1", before=3)) == made[:2]
    assert list(ledger.producing("features:a@1", last=1)) == made[3:]
    assert list(ledger.producing("features:a@1", before=3, last=1)) == [made[1]]


def test_refs_are_listed_by_prefix(ledger: Ledger):
    ledger.append(event(1, inputs=("model:b@2", "model:a@1"), outputs=("modelé:c",)))
    ledger.append(event(2, inputs=("model:a@1",), outputs=()))
    assert list(ledger.refs("model:")) == ["model:a@1", "model:b@2"]
    assert list(ledger.refs("model:", limit=1)) == ["model:a@1"]
    assert list(ledger.refs("image:")) == []


def test_a_fact_that_is_no_json_value_is_refused_and_leaves_nothing(ledger: Ledger):
    with pytest.raises(DataError, match="no JSON value"):
        ledger.append(event(1, facts={"scores": {object()}}))
    assert list(ledger.events()) == []
    assert ledger.verify() == 0


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FACTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False,
    allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    told=st.lists(
        st.builds(
            Event,
            kind=st.sampled_from(["a.told", "b.told"]),
            key=TEXT,
            subject=TEXT,
            at=st.datetimes(timezones=st.just(UTC)),
            run=st.none() | TEXT,
            inputs=st.lists(TEXT, max_size=3).map(tuple),
            outputs=st.lists(TEXT, max_size=3).map(tuple),
            facts=st.dictionaries(TEXT, FACTS, max_size=3),
        ),
        max_size=6,
    )
)
def test_whatever_is_told_is_kept_once_and_verifies(ledger: Ledger, told):
    before = {(r.event.kind, r.event.key): r for r in ledger.events()}
    for one in told:
        kept = ledger.append(one)
        if (one.kind, one.key) not in before:
            assert (kept.event.inputs, kept.event.facts) == (one.inputs, one.facts)
        assert before.setdefault((one.kind, one.key), kept) == kept
    assert ledger.verify() == len(before)
    assert {(r.event.kind, r.event.key): r for r in ledger.events()} == before
