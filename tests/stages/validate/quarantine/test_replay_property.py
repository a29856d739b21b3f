"""Over any course of audits and replays: rows in = rows published + rows that wait."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from audited import QUARANTINE, TABLE, audited, replayed
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from ibis import _

import onward as ow
from onward.core.records import Selection
from onward.infra.lake.iceberg import open_lake
from onward.stages.validate.quarantine.selection import counts, rows_of

# A step is a batch of values, or a replay of the rows under a bound; either by a rule of its day.
bound = st.integers(0, 10)
batch = st.tuples(st.just("batch"), bound, st.lists(st.integers(0, 10), min_size=1, max_size=6))
again = st.tuples(st.just("replay"), bound, st.one_of(st.none(), bound))
course = st.lists(st.one_of(batch, again), min_size=1, max_size=6)


@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(course=course)
def test_every_row_is_published_once_or_waits(course: list[tuple]) -> None:
    with TemporaryDirectory() as folder:
        lake = open_lake(Path(folder))
        came: list[tuple[int, int]] = []
        waits: dict[int, int] = {}
        for number, (kind, limit, what) in enumerate(course):
            rule = ow.check("low", _.x <= limit)
            if kind == "batch":
                new = [(len(came) + i, x) for i, x in enumerate(what)]
                came += new
                rows = pa.table({"id": [i for i, _ in new], "x": [x for _, x in new]})
                audited(lake, rows, f"r{number}", rule)
                waits |= {i: x for i, x in new if x > limit}
            elif lake.head(QUARANTINE) is not None:
                chosen = Selection(where=None if what is None else f"x <= {what}")
                found = replayed(lake, f"p{number}", rule, selection=chosen)
                meant = {i: x for i, x in waits.items() if what is None or x <= what}
                passed = [i for i, x in meant.items() if x <= limit]
                assert (found.rows, found.released) == (len(meant), len(passed))
                waits = {i: x for i, x in waits.items() if i not in passed}
            out = lake.read(TABLE).to_pylist() if lake.head(TABLE) else []
            assert sorted((r["id"], r["x"]) for r in out) == [p for p in came if p[0] not in waits]
            assert Counter(r["id"] for r in _waiting(lake)) == Counter(list(waits))


def _waiting(lake: object) -> list[dict]:
    if lake.head(QUARANTINE) is None:
        return []
    rows = rows_of(TABLE, Selection(), lake=lake, limit=1000)
    assert counts(TABLE, Selection(state="all"), lake=lake)[0] == len(rows)
    return rows
